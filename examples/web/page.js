/** The page's elements, and what it says. */

const element = (id) => document.getElementById(id);

export const modelInput = element("model-file");
export const audioInput = element("audio-file");
export const recordButton = element("record");
export const copyButton = element("copy");
export const player = element("player");
export const canvas = element("waveform");
export const transcriptElement = element("transcript");

/**
 * Says what the page is doing.
 *
 * @param {"empty" | "loading" | "ready" | "working" | "recording" | "done" | "error"} state
 */
export function setState(state, status) {
  document.body.dataset.state = state;
  element("status").textContent = status;
  // Screen readers wait for the whole text.
  transcriptElement.ariaBusy = ["working", "recording"].includes(state);
  element("record-label").textContent = state === "recording" ? "Stop" : "Record";
  if (state !== "error") element("error").hidden = true;
}

export function showError(error) {
  setState("error", "");
  element("error").textContent = error.message;
  element("error").hidden = false;
}

/** Says what the model is; speech can be given from now on. */
export function describeModel(name, { bytes, metadata, pieces }) {
  const facts = [
    metadata.name,
    `${(bytes.length / 1e6).toFixed(1)} MB`,
    metadata.quantization ?? "float32",
    `${metadata.sample_rate / 1000} kHz`,
    `${pieces.filter(Boolean).length} pieces`,
  ];
  element("model-facts").textContent = `${name}: ${facts.join(", ")}`;
  recordButton.disabled = false;
  audioInput.disabled = false;
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
