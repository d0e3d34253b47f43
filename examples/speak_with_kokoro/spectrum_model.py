"""What Kokoro's generator would sound like, as a spectrogram: a small network in its place."""

import time

import keras
import numpy as np
from keras import layers, ops
from kokoro import Decoded
from pronunciation import LOWEST_PITCH
from vocoder import BINS, HOP, SAMPLE_RATE, centred_frames_of

from keras_contextnet.layers.mel_filters import mel_filters

DECODER_FRAMES_PER_FRAME = 80 * HOP / SAMPLE_RATE
QUIETEST = 1e-4
# How wide a harmonic is in a spectrum of 25 ms, Hz.
HARMONIC_WIDTH = 35.0
CROP = 160  # frames of a training example
BATCH = 16


def resample(decoded: np.ndarray, count: int) -> np.ndarray:
    """Interpolates frames (decoder frames, ...) at the middles of `count` frames of 10 ms."""
    place = np.arange(count) * DECODER_FRAMES_PER_FRAME - 0.5
    place = np.clip(place, 0, len(decoded) - 1.001)
    before = place.astype(int)
    share = (place - before).astype(np.float32).reshape(-1, *[1] * (decoded.ndim - 1))
    return decoded[before] * (1 - share) + decoded[before + 1] * share


def pitch_of(decoded: Decoded, count: int) -> np.ndarray:
    """Returns the nearest pitch of each frame (count,), Hz, 0 where there is no voice."""
    nearest = np.round(np.arange(count) * DECODER_FRAMES_PER_FRAME - 0.5).astype(int)
    pitch = decoded.pitch[np.clip(nearest, 0, len(decoded.pitch) - 1)]
    return np.where(pitch > LOWEST_PITCH, pitch, 0.0)


def harmonics(pitch: np.ndarray) -> np.ndarray:
    """Returns 1 at each multiple of a pitch (count,), down to -3 between them: (count, bins)."""
    hertz = np.linspace(0, SAMPLE_RATE / 2, BINS)
    voiced = (pitch > 0)[:, None]
    spacing = np.where(voiced, pitch[:, None], 100.0)
    distance = hertz - spacing * np.round(hertz / spacing)
    peaks = 1 - np.minimum((distance / HARMONIC_WIDTH) ** 2, 4)
    return np.where(voiced, peaks, 0).astype(np.float32)


def inputs_of(decoded: Decoded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the network's inputs: frames (count, 515), harmonics (count, bins), style (128,)."""
    count = 1 + int(len(decoded.pitch) * HOP / DECODER_FRAMES_PER_FRAME) // HOP
    pitch = pitch_of(decoded, count)
    voiced = pitch > 0
    height = np.where(voiced, np.log(np.maximum(pitch, LOWEST_PITCH)) - 5, 0)
    more = np.stack([voiced, height, resample(decoded.energy, count)], axis=1)
    frames = np.concatenate([resample(decoded.hidden, count), more], axis=1)
    return frames.astype(np.float32), harmonics(pitch), decoded.style


def log_spectrum(waveform: np.ndarray) -> np.ndarray:
    """Returns what the network is to answer (count, bins)."""
    magnitude = np.abs(centred_frames_of(waveform))
    return np.log(magnitude + QUIETEST).astype(np.float32)


def make_spectrum_model() -> keras.Model:
    """Five residual blocks, each scaled by the voice; 2.5 million weights."""
    frames = keras.Input((None, 515))  # (batch, time, channels)
    comb = keras.Input((None, BINS))
    style = keras.Input((128,))
    voice = ops.expand_dims(style, 1)  # (batch, 1, 128)
    x = layers.Dense(256)(frames) + layers.Dense(256)(voice)
    x = x + layers.Dense(256, use_bias=False)(comb)  # (batch, time, 256)
    for _ in range(5):
        y = layers.Conv1D(256, 5, padding="same", activation="silu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(256)(y * (1 + layers.Dense(256)(voice)))
    x = layers.LayerNormalization()(x)
    envelope = layers.Dense(BINS)(x) * 4 - 6
    depth = ops.softplus(layers.Dense(BINS, bias_initializer="ones")(x))
    return keras.Model([frames, comb, style], envelope + depth * comb)


class SpectrumLoss(keras.losses.Loss):
    """Absolute differences of log magnitudes, in bins and in the 80 bands that recognisers hear."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._filters = 40 * mel_filters(80, 2 * (BINS - 1), SAMPLE_RATE, 0.0, SAMPLE_RATE / 2)

    def call(self, y_true, y_pred):
        in_bins = ops.mean(ops.abs(y_true - y_pred), axis=-1)
        in_bands = ops.mean(ops.abs(self._bands(y_true) - self._bands(y_pred)), axis=-1)
        return in_bins + in_bands  # (batch, time)

    def _bands(self, log_magnitude):
        return ops.log(ops.matmul(ops.exp(2 * log_magnitude), self._filters) + 1e-7)


class CosineByTime(keras.callbacks.Callback):
    """Warms the learning rate up, takes it down to zero by a time, and stops there."""

    def __init__(self, peak: float, seconds: float, warmup: int = 200):
        super().__init__()
        self._peak, self._seconds, self._warmup = peak, seconds, warmup
        self._started, self._steps = time.monotonic(), 0

    def on_train_batch_begin(self, batch, logs=None):
        self._steps += 1
        passed = (time.monotonic() - self._started) / self._seconds
        rate = self._peak * min(1, self._steps / self._warmup)
        self.model.optimizer.learning_rate = rate * (0.5 + 0.5 * np.cos(np.pi * min(passed, 1)))
        self.model.stop_training = passed >= 1


def crops(pairs: list[tuple], generator: np.random.Generator):
    """Yields batches of pieces of the pairs (frames, harmonics, style, spectrum), for ever."""
    while True:
        pieces = []
        for index in generator.integers(len(pairs), size=BATCH):
            frames, comb, style, spectrum = pairs[index]
            count = min(len(frames), len(spectrum))
            start = generator.integers(max(1, count - CROP))
            place = np.clip(np.arange(start, start + CROP), 0, count - 1)
            pieces.append((frames[place], comb[place], style, spectrum[place]))
        *inputs, spectrum = (np.stack(part) for part in zip(*pieces, strict=True))
        yield tuple(inputs), spectrum


def learn_spectrum(pairs: list[tuple], minutes: float, seed: int = 0) -> keras.Model:
    """Trains the network on pairs (frames, harmonics, style, spectrum) for some minutes."""
    model = make_spectrum_model()
    model.compile("adam", SpectrumLoss())
    until = CosineByTime(2e-3, 60 * minutes)
    # Keras stops where it is told to; an epoch longer than any minutes never ends by itself.
    batches = crops(pairs, np.random.default_rng(seed))
    model.fit(batches, steps_per_epoch=10**9, callbacks=[until], shuffle=False, verbose=0)
    return model
