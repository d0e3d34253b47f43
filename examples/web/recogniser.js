/** The page's side of worker.js. */

export class Recogniser {
  #worker = new Worker(new URL("worker.js", import.meta.url));
  #pending = new Map();
  #lastId = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, token, error } }) => {
      const { found, resolve, reject } = this.#pending.get(id);
      if (token) return found(token);
      this.#pending.delete(id);
      return error === undefined ? resolve() : reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#pending.values()) reject(new Error(event.message));
      this.#pending.clear();
    };
  }

  /** Loads what `readModelFile` gave, in place of the model before. */
  load({ bytes, metadata }) {
    return this.#call("load", { file: { bytes, metadata } });
  }

  /**
   * Decodes one utterance.
   *
   * @param {Float32Array} audio Mono, in [-1, 1], at the file's sample rate.
   * @param {(token: {id: number, frame: number}) => void} found Called as each token is found.
   */
  decode(audio, found) {
    return this.#call("decode", { audio }, found);
  }

  #call(method, input, found = () => {}) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { found, resolve, reject });
      this.#worker.postMessage({ id, method, input });
    });
  }
}
