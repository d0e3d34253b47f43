/**
 * Cuts long audio into utterances.
 *
 * The encoder looks at the whole utterance at once (squeeze-and-excitation averages over all of it)
 * and was trained on utterances of some seconds, so an hour must be cut somewhere.
 */

const LOOK = 0.2; // seconds whose loudness is compared

/**
 * Where to cut off the first utterance.
 *
 * @param {Float32Array} audio
 * @param {number} sampleRate Hz
 * @param {number} longest Seconds: audio up to this long is left whole.
 * @returns {number} Samples of the first utterance: up to the middle of the quietest moment between
 *     half of `longest` and `longest`.
 */
export function firstUtterance(audio, sampleRate, longest) {
  if (audio.length <= longest * sampleRate) return audio.length;
  const look = Math.round(LOOK * sampleRate);
  const last = longest * sampleRate - look;
  let quietest = Infinity;
  let cut = last;
  for (let start = Math.round(last / 2); start <= last; start += look >> 1) {
    let energy = 0;
    for (let i = start; i < start + look; i++) energy += audio[i] ** 2;
    if (energy < quietest) [quietest, cut] = [energy, start + (look >> 1)];
  }
  return cut;
}
