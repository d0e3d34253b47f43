/** Reads the zip archive at the end of a file. */

const END = 0x06054b50; // "PK\5\6", end of the central directory
const END_SIZE = 22;
const LONGEST_COMMENT = 0xffff;
const STORED = 0;
const DEFLATED = 8;

/**
 * Reads every entry.
 *
 * @param {Uint8Array} bytes A file that ends in a zip archive, or does not.
 * @returns {Promise<Map<string, Uint8Array>>} Contents by name; none where there is no archive.
 */
export async function readZip(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files = new Map();
  const end = findEnd(view);
  if (end < 0) return files;
  const count = view.getUint16(end + 10, true);
  const directorySize = view.getUint32(end + 12, true);
  const directory = end - directorySize;
  // Positions count from the archive's start, which is not the file's where something precedes it.
  const start = directory - view.getUint32(end + 16, true);
  for (let i = 0, entry = directory; i < count; i++) {
    const method = view.getUint16(entry + 10, true);
    const size = view.getUint32(entry + 20, true);
    const nameLength = view.getUint16(entry + 28, true);
    const extraLength = view.getUint16(entry + 30, true);
    const commentLength = view.getUint16(entry + 32, true);
    const local = start + view.getUint32(entry + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(entry + 46, entry + 46 + nameLength));
    // The local header's name and extra field have lengths of their own.
    const contents =
      local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    files.set(name, await unpack(bytes.subarray(contents, contents + size), method));
    entry += 46 + nameLength + extraLength + commentLength;
  }
  return files;
}

/** Where the end record is: at the very end but for a comment. */
function findEnd(view) {
  const last = view.byteLength - END_SIZE;
  for (let at = last; at >= Math.max(0, last - LONGEST_COMMENT); at--) {
    if (view.getUint32(at, true) === END) return at;
  }
  return -1;
}

async function unpack(bytes, method) {
  if (method === STORED) return bytes;
  if (method !== DEFLATED) throw new Error(`The zip archive uses compression ${method}.`);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
