/**
 * Runs the model off the page's thread, which stays free to draw.
 *
 * A classic worker and not a module, because LiteRT.js fetches its WebAssembly with importScripts.
 * Takes {id, method, input}, posts {id, token} as tokens are found and {id, done: true} or
 * {id, error} at the end.
 */

const here = self.location.href;
const modules = Promise.all([
  import(new URL("vendor/litert/litert.js", here)),
  import(new URL("transcriber.js", here)),
]);
let runtime = null;
let transcriber = null;
let queue = Promise.resolve();

const methods = {
  async load({ file }) {
    const [litert, { Transcriber }] = await modules.catch(() => {
      throw new Error("LiteRT.js is not there. Run `npm install` in examples/web, then reload.");
    });
    runtime ??= loadWebAssembly(litert);
    await runtime;
    const previous = transcriber;
    transcriber = null;
    previous?.delete();
    transcriber = await Transcriber.load(litert, file);
  },

  async decode({ audio }, found) {
    for await (const token of transcriber.decode(audio)) found(token);
  },
};

function loadWebAssembly(litert) {
  const folder = new URL("vendor/litert/wasm/", here).href;
  // The loader looks for its files beside the worker unless told otherwise.
  self.Module = { locateFile: (name) => folder + name };
  return litert.loadLiteRt(folder);
}

self.onmessage = ({ data: { id, method, input } }) => {
  // One after the other: the model has one set of buffers.
  queue = queue.then(async () => {
    try {
      await methods[method](input, (token) => self.postMessage({ id, token }));
      self.postMessage({ id, done: true });
    } catch (error) {
      self.postMessage({ id, error: error.message ?? String(error) });
    }
  });
};
