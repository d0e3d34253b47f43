"""Log-mel spectrogram: from the waveform to what the encoder reads."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contextnet.layers.masking import stride_length, stride_mask
from keras_contextnet.layers.mel_filters import mel_filters


@keras.saving.register_keras_serializable(package="keras_contextnet")
class LogMelSpectrogram(keras.layers.Layer):
    """Log-mel features of a waveform, 80 bands every 10 ms, normalised per utterance.

    Frame `i` is centred on sample `i * hop`; the waveform is padded with zeros on both sides, so
    that `samples` give `ceil(samples / hop)` frames, and the frames of an utterance do not depend
    on how much padding follows it. Everything is computed in float32, whatever the dtype policy.

    Args:
        sample_rate: int, Hz. Of the waveforms that will be given.
        num_bands: int. Mel bands.
        window_seconds: float, seconds. Length of the (symmetric) Hann window.
        hop_seconds: float, seconds. Distance between frames.
        fft_length: int, samples. At least the window's length; 512 holds 25 ms at 16 kHz.
        low_hz: float, Hz. Lower edge of the first band.
        high_hz: float, Hz. Upper edge of the last band; half the sample rate if None.
        preemphasis: float. `x[t] - preemphasis * x[t - 1]` before the transform; 0 for none.
        log_offset: float. Added to the band energies before the logarithm.
        normalize: bool. Give each band mean 0 and deviation 1 over the utterance's frames.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, samples), the waveform in [-1, 1].
        mask: optional boolean tensor (batch, samples), true for the utterance's samples.

    Returns:
        A tensor (batch, ceil(samples / hop), num_bands); frames past an utterance's end are 0.

    Raises:
        ValueError: for a window longer than `fft_length`, band edges out of order, or an input that
            is not (batch, samples).

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import LogMelSpectrogram

    waveform = np.random.default_rng(0).normal(size=(1, 16000)).astype("float32")
    print(LogMelSpectrogram()(waveform).shape)  # (1, 100, 80)
    ```

    Source: ContextNet (arXiv 2005.03191), section 3.1, for bands, window and hop. The paper is
    silent on the rest, which follows NVIDIA NeMo's published ContextNet models.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        num_bands: int = 80,
        window_seconds: float = 0.025,
        hop_seconds: float = 0.010,
        fft_length: int = 512,
        low_hz: float = 0.0,
        high_hz: float | None = None,
        preemphasis: float = 0.97,
        log_offset: float = 2.0**-24,
        normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        # The layer casts for itself: autocasting would halve the waveform's precision first.
        super().__init__(autocast=False, **kwargs)
        self.sample_rate = sample_rate
        self.num_bands = num_bands
        self.window_seconds = window_seconds
        self.hop_seconds = hop_seconds
        self.fft_length = fft_length
        self.low_hz = low_hz
        self.high_hz = sample_rate / 2 if high_hz is None else high_hz
        self.preemphasis = preemphasis
        self.log_offset = log_offset
        self.normalize = normalize
        self.supports_masking = True
        self.window = round(window_seconds * sample_rate)  # samples
        self.hop = round(hop_seconds * sample_rate)  # samples
        if not 0 < self.hop <= self.window <= fft_length:
            raise ValueError(
                "Expected 0 < hop <= window <= `fft_length` samples. Received: hop of "
                f"{self.hop} samples, window of {self.window} samples, fft_length={fft_length}"
            )
        if not 0.0 <= low_hz < self.high_hz <= sample_rate / 2:
            raise ValueError(
                "Expected 0 <= `low_hz` < `high_hz` <= sample_rate / 2. Received: "
                f"low_hz={low_hz}, high_hz={self.high_hz}, sample_rate={sample_rate}"
            )
        self._hann = np.hanning(self.window).astype(np.float32)
        self._filters = mel_filters(num_bands, fft_length, sample_rate, low_hz, self.high_hz)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 2:
            raise ValueError(
                "LogMelSpectrogram expects waveforms of shape (batch, samples). Received: "
                f"shape={tuple(input_shape)}. Average channels first, and add the batch axis with "
                "`waveform[None]`."
            )

    def call(self, inputs: Any, mask: Any | None = None) -> Any:
        x = ops.cast(inputs, "float32")  # (batch, samples)
        if self.preemphasis:
            x = ops.concatenate([x[:, :1], x[:, 1:] - self.preemphasis * x[:, :-1]], axis=1)
        if mask is not None:
            x = ops.where(mask, x, 0.0)
        real, imaginary = ops.rfft(self._frames(x) * self._hann, fft_length=self.fft_length)
        power = ops.square(real) + ops.square(imaginary)  # (batch, frames, fft_length / 2 + 1)
        features = ops.log(ops.matmul(power, self._filters) + self.log_offset)
        frame_mask = None if mask is None else ops.expand_dims(stride_mask(mask, self.hop), -1)
        if self.normalize:
            features = _normalize(features, frame_mask)
        if frame_mask is not None:
            features = ops.where(frame_mask, features, 0.0)
        return ops.cast(features, self.compute_dtype)  # (batch, frames, num_bands)

    def _frames(self, x: Any) -> Any:
        """(batch, samples) to overlapping windows, (batch, frames, window)."""
        samples = ops.shape(x)[1]
        frames = stride_length(samples, self.hop)
        # A window is cut out of whole hops that lie side by side: slices and one concatenation,
        # which every backend and LiteRT have, in place of a gather.
        hops_per_window = -(-self.window // self.hop)
        before = self.window // 2
        after = frames * self.hop - samples + max(0, (hops_per_window - 1) * self.hop - before)
        x = ops.pad(x, ((0, 0), (before, after)))
        # A hop that is longer than half the window can leave samples that no frame reaches.
        x = x[:, : (frames + hops_per_window - 1) * self.hop]
        hops = ops.reshape(x, (ops.shape(x)[0], frames + hops_per_window - 1, self.hop))
        windows = ops.concatenate(
            [hops[:, i : i + frames] for i in range(hops_per_window)], axis=-1
        )  # (batch, frames, hops_per_window * hop)
        return windows[:, :, : self.window]

    def compute_mask(self, inputs: Any, mask: Any | None = None) -> Any | None:
        return stride_mask(mask, self.hop)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], stride_length(input_shape[1], self.hop), self.num_bands)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "num_bands": self.num_bands,
            "window_seconds": self.window_seconds,
            "hop_seconds": self.hop_seconds,
            "fft_length": self.fft_length,
            "low_hz": self.low_hz,
            "high_hz": self.high_hz,
            "preemphasis": self.preemphasis,
            "log_offset": self.log_offset,
            "normalize": self.normalize,
        }


def _normalize(features: Any, mask: Any | None) -> Any:
    """Gives each band mean 0 and (unbiased) deviation 1 over an utterance's frames."""
    weights = ops.ones_like(features[:, :, :1]) if mask is None else ops.cast(mask, "float32")
    count = ops.sum(weights, axis=1, keepdims=True)  # (batch, 1, 1)
    mean = ops.sum(features * weights, axis=1, keepdims=True) / ops.maximum(count, 1.0)
    centred = (features - mean) * weights
    # Once more: where a band is constant, as in digital silence, all that is left is the first
    # mean's rounding error, and the division below would blow it up.
    mean = ops.sum(centred, axis=1, keepdims=True) / ops.maximum(count, 1.0)
    centred = (centred - mean) * weights
    variance = ops.sum(ops.square(centred), axis=1, keepdims=True) / ops.maximum(count - 1.0, 1.0)
    return centred / (ops.sqrt(variance) + 1e-5)
