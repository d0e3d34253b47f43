/** Reads what keras-contextnet writes into a .tflite file: the graph, the vocabulary, the settings. */

import { signatureShapes } from "./static_shapes.js";
import { readZip } from "./zip.js";

const SIGNATURES = ["encode", "predict", "join"];
const EXPORT_AGAIN = 'Export it again with model.export("asr.tflite", format="litert").';

/**
 * Parses a .tflite file.
 *
 * @param {Uint8Array} bytes The whole file.
 * @returns {Promise<{bytes: Uint8Array, metadata: object, pieces: string[]}>} `pieces[id]` is the
 *     text of a token, "▁" standing for a space.
 */
export async function readModelFile(bytes) {
  if (String.fromCharCode(...bytes.subarray(4, 8)) !== "TFL3") {
    throw new Error("This is not a .tflite file: it does not begin as one.");
  }
  const files = await readZip(bytes);
  if (!files.has("metadata.json")) {
    throw new Error(`This .tflite was not exported by keras-contextnet: metadata.json is missing.`);
  }
  const metadata = JSON.parse(text(files.get("metadata.json")));
  if (!files.has("tokens.txt")) {
    throw new Error(
      "This .tflite has no vocabulary (tokens.txt), so its tokens cannot be spelled out. " +
        "Give the model a tokenizer and export it again.",
    );
  }
  const shapes = signatureShapes(bytes);
  const missing = SIGNATURES.filter((name) => !(name in shapes));
  if (missing.length) {
    throw new Error(`This .tflite has no signature ${missing.join(", ")}. ${EXPORT_AGAIN}`);
  }
  for (const name of ["sample_rate", "frame_seconds", "blank_id", "max_symbols_per_frame"]) {
    if (typeof metadata[name] !== "number") {
      throw new Error(`This .tflite does not say its ${name}. ${EXPORT_AGAIN}`);
    }
  }
  return { bytes, metadata, pieces: text(files.get("tokens.txt")).split("\n") };
}

function text(bytes) {
  return new TextDecoder().decode(bytes);
}
