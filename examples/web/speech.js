/** From audio to words on the page, whole files and the microphone alike. */

import { resample } from "./audio.js";
import { firstUtterance } from "./pauses.js";
import { wordsOf } from "./transcript.js";

const LONGEST_OF_FILE = 30; // seconds of an utterance
const LONGEST_OF_MICROPHONE = 12; // shorter, since it is decoded again each time it has grown
const GROWTH = 1; // seconds between two looks at the microphone

export class Speech {
  #recogniser;
  #transcript;
  #metadata;
  #pieces;

  constructor(recogniser, transcript, { metadata, pieces }) {
    this.#recogniser = recogniser;
    this.#transcript = transcript;
    this.#metadata = metadata;
    this.#pieces = pieces;
  }

  /**
   * Transcribes audio, an utterance at a time.
   *
   * @param {Float32Array} audio Mono, in [-1, 1], at the model's sample rate.
   * @param {(seconds: number) => void} reached Called with how far into the audio the text goes.
   */
  async transcribe(audio, reached) {
    const rate = this.#metadata.sample_rate;
    for (let start = 0; start < audio.length; ) {
      const rest = audio.subarray(start);
      const utterance = rest.slice(0, firstUtterance(rest, rate, LONGEST_OF_FILE));
      const offset = start / rate;
      const draw = oncePerFrame((tokens) => {
        reached(tokens.at(-1).time);
        this.#transcript.show(wordsOf(tokens, this.#pieces));
      });
      const words = await this.#decode(utterance, offset, draw);
      draw.cancel();
      this.#transcript.settle(words);
      start += utterance.length;
      reached(start / rate);
    }
  }

  /**
   * Transcribes a recording while it grows, until `stopped` resolves.
   *
   * The words of the utterance being said are shown in grey and may still change; an utterance that
   * has become long is cut at its quietest moment and its words stay.
   */
  async follow(recording, stopped) {
    let going = true;
    stopped.then(() => (going = false));
    let start = 0; // of the utterance, in the recording's samples
    while (going) {
      const enough = recording.samples.length + GROWTH * recording.sampleRate;
      while (going && recording.samples.length < enough) await sleep(50);
      if (going) start = await this.#lookAgain(recording, start);
    }
    const audio = await this.#heard(recording, start);
    this.#transcript.settle(await this.#decode(audio, start / recording.sampleRate));
  }

  /** Shows what the utterance has become; returns where the next one to look at starts. */
  async #lookAgain(recording, start) {
    const rate = this.#metadata.sample_rate;
    const audio = await this.#heard(recording, start);
    const offset = start / recording.sampleRate;
    const cut = firstUtterance(audio, rate, LONGEST_OF_MICROPHONE);
    const words = await this.#decode(audio.slice(0, cut), offset);
    if (cut === audio.length) {
      this.#transcript.show(words);
      return start;
    }
    this.#transcript.settle(words);
    return start + Math.round((cut / rate) * recording.sampleRate);
  }

  #heard(recording, start) {
    const samples = recording.samples.slice(start);
    return resample(samples, recording.sampleRate, this.#metadata.sample_rate);
  }

  async #decode(audio, offset, found = () => {}) {
    const tokens = [];
    await this.#recogniser.decode(audio, ({ id, frame }) => {
      tokens.push({ id, time: offset + frame * this.#metadata.frame_seconds });
      found(tokens);
    });
    return wordsOf(tokens, this.#pieces);
  }
}

/** `draw`, called with the newest argument at most once for each frame of the screen. */
function oncePerFrame(draw) {
  let request = 0;
  let newest;
  const called = (argument) => {
    newest = argument;
    request ||= requestAnimationFrame(() => {
      request = 0;
      draw(newest);
    });
  };
  called.cancel = () => cancelAnimationFrame(request);
  return called;
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
