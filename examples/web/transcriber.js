/**
 * Turns waveforms into tokens with a .tflite file's signatures `encode`, `predict` and `join`.
 *
 * The greedy loop is written out here because `transcribe`, which has it inside, gives nothing in
 * LiteRT.js: README.md says why.
 */

import { signatureShapes, withStaticShapes } from "./static_shapes.js";

/** The most frames that the encoder gives above one per `frame_seconds`, for what its edges add. */
const MARGIN = 2;
/** A window this much too long is used as it is, since another one must be compiled. */
const SPARE = 1.5;

export class Transcriber {
  #litert;
  #bytes;
  #shapes;
  #metadata;
  #frameSamples;
  #model = null;
  #window = 0; // frames' worth of samples that #model takes
  #extraFrames = MARGIN; // frames that #model gives beyond #window

  /**
   * Loads a model.
   *
   * @param {object} litert The module @litertjs/core, its WebAssembly loaded.
   * @param {{bytes: Uint8Array, metadata: object}} file What `readModelFile` gave.
   */
  static async load(litert, file) {
    const transcriber = new Transcriber(litert, file);
    await transcriber.#measureExtraFrames();
    return transcriber;
  }

  constructor(litert, { bytes, metadata }) {
    this.#litert = litert;
    this.#bytes = bytes;
    this.#metadata = metadata;
    this.#shapes = signatureShapes(bytes);
    this.#frameSamples = metadata.sample_rate * metadata.frame_seconds;
    if (Math.abs(this.#frameSamples - Math.round(this.#frameSamples)) > 1e-6) {
      throw new Error(`Expected whole samples per frame. Received: ${this.#frameSamples}.`);
    }
    this.#frameSamples = Math.round(this.#frameSamples);
  }

  /**
   * Decodes one utterance.
   *
   * @param {Float32Array} audio Mono, in [-1, 1], at the file's sample rate.
   * @yields {{id: number, frame: number}} Each token as it is found, with its encoder frame.
   */
  async *decode(audio) {
    if (audio.length < this.#frameSamples) return;
    const { blank_id: blank, max_symbols_per_frame: mostSymbols } = this.#metadata;
    const { frames, count, units } = await this.#encode(audio);
    const [, stateSize] = this.#shapes.predict.state;
    let predicted = await this.#predict(blank, new Float32Array(stateSize));
    for (let frame = 0; frame < count; frame++) {
      const encoded = frames.subarray(frame * units, (frame + 1) * units);
      for (let symbol = 0; symbol < mostSymbols; symbol++) {
        const id = indexOfLargest(await this.#join(encoded, predicted.prediction));
        if (id === blank) break;
        yield { id, frame };
        predicted = await this.#predict(id, predicted.next_state);
      }
    }
  }

  delete() {
    this.#model?.delete();
    this.#model = null;
  }

  async #encode(audio) {
    const needed = windowFor(Math.ceil(audio.length / this.#frameSamples));
    if (this.#window < needed || this.#window > SPARE * needed) await this.#compile(needed);
    // Silence up to the window's end; `audio_length` keeps it out of the numbers.
    const padded = new Float32Array(this.#window * this.#frameSamples);
    padded.set(audio);
    const outputs = await this.#run("encode", {
      audio: [padded, [1, padded.length]],
      audio_length: [Int32Array.of(audio.length), [1]],
    });
    try {
      const frames = outputs.frames.toTypedArray();
      const [, , units] = outputs.frames.type.layout.dimensions;
      return { frames, units, count: outputs.frame_length.toTypedArray()[0] };
    } finally {
      deleteTensors(outputs);
    }
  }

  async #predict(token, state) {
    return this.#arrays("predict", {
      token: [Int32Array.of(token), [1]],
      state: [state, [1, state.length]],
    });
  }

  async #join(frame, prediction) {
    const { logits } = await this.#arrays("join", {
      frame: [frame, [1, frame.length]],
      prediction: [prediction, [1, prediction.length]],
    });
    return logits;
  }

  async #arrays(signature, inputs) {
    const outputs = await this.#run(signature, inputs);
    const arrays = Object.entries(outputs).map(([name, tensor]) => [name, tensor.toTypedArray()]);
    deleteTensors(outputs);
    return Object.fromEntries(arrays);
  }

  async #run(signature, inputs) {
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([name, [array, shape]]) => [
        name,
        new this.#litert.Tensor(array, shape),
      ]),
    );
    try {
      return await this.#model.run(signature, tensors);
    } finally {
      deleteTensors(tensors);
    }
  }

  /**
   * Finds out how many frames the shortest window gives, in a buffer with room for too many.
   *
   * The first run's output has the shape that the file was given; from the second run on it is the
   * shape that the encoder made.
   */
  async #measureExtraFrames() {
    const window = windowFor(1);
    await this.#compile(window);
    await this.#countFrames(window);
    const frames = await this.#countFrames(window);
    this.#extraFrames = frames - window;
    this.#window = 0; // Compiled for too many frames: the first utterance needs another.
  }

  async #countFrames(window) {
    const samples = window * this.#frameSamples;
    const outputs = await this.#run("encode", {
      audio: [new Float32Array(samples), [1, samples]],
      audio_length: [Int32Array.of(samples), [1]],
    });
    const [, frames] = outputs.frames.type.layout.dimensions;
    deleteTensors(outputs);
    return frames;
  }

  async #compile(window) {
    this.delete();
    this.#model = await this.#litert.loadAndCompile(
      withStaticShapes(this.#bytes, {
        ...withBatchOfOne(this.#shapes),
        encode: {
          audio: [1, window * this.#frameSamples],
          audio_length: [1],
          frames: [1, window + this.#extraFrames, this.#shapes.encode.frames[2]],
          frame_length: [1],
        },
      }),
      { accelerator: "wasm" },
    );
    this.#window = window;
  }
}

/** `frames` rounded up, by a quarter at most: so that few windows serve audio of every length. */
export function windowFor(frames) {
  const step = Math.max(8, 2 ** Math.floor(Math.log2(frames)) / 4);
  return Math.ceil(frames / step) * step;
}

function withBatchOfOne({ predict, join }) {
  const one = (tensors) =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, [, ...sizes]]) => [name, [1, ...sizes]]),
    );
  return { predict: one(predict), join: one(join) };
}

function indexOfLargest(values) {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}

function deleteTensors(tensors) {
  for (const tensor of Object.values(tensors)) tensor.delete();
}
