/** Records the microphone. */

const REFUSALS = {
  NotAllowedError:
    "The browser may not use the microphone. Allow it in the address bar, then record again.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is in use by another program, or failed.",
};

export class Recording {
  #stream;
  #context;
  #samples = new Float32Array(1 << 16);
  #length = 0;

  /** Asks for the microphone and starts. */
  static async start() {
    if (!navigator.mediaDevices) {
      throw new Error("The microphone needs a page from https:// or from http://localhost.");
    }
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true }).catch((error) => {
      throw new Error(REFUSALS[error.name] ?? `The microphone did not start: ${error.message}`);
    });
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("recorder_worklet.js", import.meta.url));
    return new Recording(stream, context);
  }

  constructor(stream, context) {
    this.#stream = stream;
    this.#context = context;
    const recorder = new AudioWorkletNode(context, "recorder", {
      channelCount: 1,
      channelCountMode: "explicit", // stereo microphones are mixed down
      numberOfOutputs: 0,
    });
    recorder.port.onmessage = ({ data }) => this.#append(data);
    context.createMediaStreamSource(stream).connect(recorder);
  }

  /** Hz, the sound card's. */
  get sampleRate() {
    return this.#context.sampleRate;
  }

  /** Everything recorded so far. */
  get samples() {
    return this.#samples.subarray(0, this.#length);
  }

  async stop() {
    for (const track of this.#stream.getTracks()) track.stop();
    await this.#context.close();
  }

  #append(block) {
    if (this.#length + block.length > this.#samples.length) {
      const larger = new Float32Array(2 * this.#samples.length);
      larger.set(this.#samples);
      this.#samples = larger;
    }
    this.#samples.set(block, this.#length);
    this.#length += block.length;
  }
}
