/**
 * Copies LiteRT.js out of node_modules into vendor/litert, as `npm install` does by itself.
 *
 * LiteRT.js imports "@litertjs/wasm-utils" by that name, which a worker cannot resolve (import maps
 * reach pages only), so the copy imports the file beside it instead.
 */
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = new URL("./", import.meta.url);
const packages = new URL("node_modules/@litertjs/", here);
const vendor = new URL("vendor/litert/", here);
const UTILITIES = "@litertjs/wasm-utils";

await rm(vendor, { recursive: true, force: true });
await mkdir(new URL("wasm/", vendor), { recursive: true });

const library = await readFile(new URL("core/dist/index.js", packages), "utf8");
if (!library.includes(`from "${UTILITIES}"`)) {
  throw new Error(`Expected @litertjs/core to import ${UTILITIES}. Did its version change?`);
}
const local = library.replaceAll(`from "${UTILITIES}"`, 'from "./wasm_utils.js"');
await writeFile(new URL("litert.js", vendor), local);
await cp(new URL("wasm-utils/dist/index.js", packages), new URL("wasm_utils.js", vendor));

// One for browsers with relaxed SIMD, one for those without.
for (const build of ["litert_wasm_internal", "litert_wasm_compat_internal"]) {
  for (const ending of ["js", "wasm"]) {
    const name = `wasm/${build}.${ending}`;
    await cp(new URL(`core/${name}`, packages), new URL(name, vendor));
  }
}
console.log(`LiteRT.js is in ${fileURLToPath(vendor)}`);
