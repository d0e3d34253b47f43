/** Audio files and sample rates, with WebAudio. */

/** Decodes an audio file to mono samples in [-1, 1] at `sampleRate` Hz. */
export async function decodeAudio(arrayBuffer, sampleRate) {
  // Decoding resamples to the context's rate, so a context of the wanted rate saves a step.
  const context = new OfflineAudioContext(1, 1, sampleRate);
  let buffer;
  try {
    buffer = await context.decodeAudioData(arrayBuffer);
  } catch {
    throw new Error(
      "The browser cannot read this as audio. WAV, MP3, FLAC, Ogg Opus and M4A usually work.",
    );
  }
  return mono(buffer);
}

/** Resamples mono samples. */
export async function resample(samples, fromRate, toRate) {
  if (fromRate === toRate || samples.length === 0) return samples;
  const length = Math.ceil((samples.length * toRate) / fromRate);
  const context = new OfflineAudioContext(1, length, toRate);
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: fromRate });
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
  return (await context.startRendering()).getChannelData(0);
}

/** A WAV file of 16-bit samples, for playing back. */
export function wavFile(samples, sampleRate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const ascii = (at, text) => [...text].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
  ascii(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  ascii(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true); // size of the format that follows
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // channels
  bytes.setUint32(24, sampleRate, true);
  bytes.setUint32(28, 2 * sampleRate, true); // bytes per second
  bytes.setUint16(32, 2, true); // bytes per frame
  bytes.setUint16(34, 16, true); // bits per sample
  ascii(36, "data");
  bytes.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => {
    bytes.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, sample)) * 32767, true);
  });
  return new Blob([bytes], { type: "audio/wav" });
}

function mono(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) =>
    buffer.getChannelData(i),
  );
  if (channels.length === 1) return channels[0];
  return channels[0].map(
    (_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length,
  );
}
