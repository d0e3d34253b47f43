/** Puts the page together: model, speech, text. */

import { decodeAudio, resample, wavFile } from "./audio.js";
import { Recording } from "./microphone.js";
import { readModelFile } from "./model_file.js";
import * as page from "./page.js";
import { Recogniser } from "./recogniser.js";
import { Speech } from "./speech.js";
import { Transcript } from "./transcript.js";
import { Waveform } from "./waveform.js";

const SHORTEST = 0.1; // seconds
const SHOWN_LIVE = 10; // seconds of the microphone on the waveform

const recogniser = new Recogniser();
const waveform = new Waveform(page.canvas);
const transcript = new Transcript(page.transcriptElement, (time) => {
  page.player.currentTime = time;
  page.player.play();
});
let model = null;
let stopRecording = null;
let busy = false;

async function useModel(name, buffer) {
  page.setState("loading", "Loading the model …");
  const file = await readModelFile(new Uint8Array(buffer));
  // The worker gives the one before up, whether this one loads or not.
  model = null;
  page.describeModel(name, model);
  await recogniser.load(file);
  model = file;
  page.describeModel(name, model);
  page.setState("ready", "Ready.");
}

async function useAudio(buffer) {
  if (!model) throw new Error("Choose a model first: the .tflite file that the audio goes to.");
  startText("Reading the audio …");
  const audio = await decodeAudio(buffer, model.metadata.sample_rate);
  await transcribe(audio, async () => {
    const seconds = audio.length / model.metadata.sample_rate;
    const speech = new Speech(recogniser, transcript, model);
    const started = performance.now();
    await speech.transcribe(audio, (time) => (waveform.progress = time / seconds));
    page.describeSpeed(seconds, (performance.now() - started) / 1000);
  });
}

async function record() {
  startText("Asking for the microphone …");
  const recording = await Recording.start();
  const stopped = new Promise((resolve) => (stopRecording = resolve));
  page.setState("recording", "Listening …");
  const drawing = setInterval(() => {
    waveform.show(recording.samples.slice(-SHOWN_LIVE * recording.sampleRate));
    waveform.progress = 1;
  }, 80);
  const following = new Speech(recogniser, transcript, model).follow(recording, stopped);
  try {
    await Promise.race([stopped, following]); // `following` ends first only where it fails
  } finally {
    clearInterval(drawing);
    stopRecording = null;
    await recording.stop();
  }
  const rate = model.metadata.sample_rate;
  const audio = await resample(recording.samples, recording.sampleRate, rate);
  await transcribe(audio, () => following);
}

/** Shows `audio` and waits for its text. */
async function transcribe(audio, work) {
  const seconds = audio.length / model.metadata.sample_rate;
  if (seconds < SHORTEST) {
    throw new Error(
      `This audio is too short: ${seconds.toFixed(2)} s. At least ${SHORTEST} s are needed.`,
    );
  }
  page.setState("working", "Transcribing …");
  waveform.show(audio);
  page.player.src = URL.createObjectURL(wavFile(audio, model.metadata.sample_rate));
  page.player.hidden = false;
  await work();
  waveform.progress = 1;
  page.copyButton.disabled = transcript.text === "";
  page.setState("done", transcript.text ? "Done." : "No words were found.");
}

/** Clears what belongs to the audio before. */
function startText(status) {
  URL.revokeObjectURL(page.player.src);
  page.player.hidden = true;
  page.copyButton.disabled = true;
  page.clearSpeed();
  transcript.clear();
  waveform.show(new Float32Array(0));
  page.setState("loading", status);
}

/** Runs one thing at a time and shows what went wrong. */
async function attempt(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
  } catch (error) {
    page.showError(error);
  } finally {
    busy = false;
  }
}

async function useFile(file) {
  const buffer = await file.arrayBuffer();
  return file.name.endsWith(".tflite") ? useModel(file.name, buffer) : useAudio(buffer);
}

async function useFiles(files) {
  // The model first: the audio goes to it.
  const isAudio = (file) => !file.name.endsWith(".tflite");
  for (const file of [...files].sort((a, b) => isAudio(a) - isAudio(b))) await useFile(file);
}

async function fetched(url) {
  const response = await fetch(url, { cache: "no-cache" }); // asks for a newer export
  if (!response.ok) throw new Error(`${url} cannot be fetched: ${response.status}.`);
  return response.arrayBuffer();
}

/** ?model=URL&audio=URL, each relative to the page. */
async function useAddress() {
  const parameters = new URLSearchParams(location.search);
  const [modelUrl, audioUrl] = [parameters.get("model"), parameters.get("audio")];
  if (modelUrl) await useModel(modelUrl.split("/").at(-1), await fetched(modelUrl));
  if (audioUrl) await useAudio(await fetched(audioUrl));
}

for (const [input, use] of [
  [page.modelInput, async (file) => useModel(file.name, await file.arrayBuffer())],
  [page.audioInput, async (file) => useAudio(await file.arrayBuffer())],
]) {
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) await attempt(() => use(file));
    input.value = ""; // so that the same file can be chosen again
  });
}
page.recordButton.addEventListener("click", () =>
  stopRecording ? stopRecording() : attempt(record),
);
page.copyButton.addEventListener("click", () => navigator.clipboard.writeText(transcript.text));
page.player.addEventListener("timeupdate", () => {
  transcript.follow(page.player.currentTime);
  waveform.progress = page.player.currentTime / page.player.duration;
});
page.canvas.addEventListener("click", ({ offsetX }) => {
  if (!page.player.hidden) {
    page.player.currentTime = (offsetX / page.canvas.clientWidth) * page.player.duration;
  }
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const files = event.dataTransfer.files;
  attempt(() => useFiles(files));
});
attempt(useAddress);
