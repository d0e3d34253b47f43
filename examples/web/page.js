/** The page's elements, and what it says. */

const element = (id) => document.getElementById(id);

export const modelInput = element("model-file");
export const audioInput = element("audio-file");
export const recordButton = element("record");
export const copyButton = element("copy");
export const player = element("player");
export const canvas = element("waveform");
export const transcriptElement = element("transcript");

let modelLoaded = false;

/**
 * Says what the page is doing, and offers what can be done meanwhile.
 *
 * @param {"empty" | "loading" | "ready" | "working" | "recording" | "done" | "error"} state
 */
export function setState(state, status) {
  const recording = state === "recording";
  const busy = recording || state === "loading" || state === "working";
  document.body.dataset.state = state;
  element("status").textContent = status;
  element("record-label").textContent = recording ? "Stop" : "Record";
  if (state !== "error") element("error").hidden = true;
  modelInput.disabled = busy;
  audioInput.disabled = busy || !modelLoaded;
  recordButton.disabled = !recording && audioInput.disabled;
  transcriptElement.ariaBusy = busy; // Screen readers wait for the whole text.
}

export function showError(error) {
  setState("error", "");
  element("error").textContent = error.message;
  element("error").hidden = false;
}

/** Says what the model is, which is null where none is loaded. */
export function describeModel(name, model) {
  modelLoaded = model !== null;
  element("model-facts").textContent = model ? `${name}: ${factsOf(model).join(", ")}` : "None.";
}

function factsOf({ bytes, metadata, pieces }) {
  return [
    metadata.name,
    `${(bytes.length / 1e6).toFixed(1)} MB`,
    metadata.quantization ?? "float32",
    `${metadata.sample_rate / 1000} kHz`,
    `${pieces.filter(Boolean).length} pieces`,
  ];
}

/** Says how long `seconds` of speech took. */
export function describeSpeed(seconds, taken) {
  const times = seconds / taken;
  element("speed").textContent =
    `${seconds.toFixed(1)} s of speech in ${taken.toFixed(2)} s: ` +
    `${times.toFixed(times < 10 ? 1 : 0)} times as fast as it was said.`;
}

export function clearSpeed() {
  element("speed").textContent = "";
}
