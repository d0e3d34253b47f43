"""Log-mel spectrogram: from the waveform to what the encoder reads."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contextnet.layers.framing import (
    FRAME_COUNTS,
    cut_frames,
    frame_length,
    frame_mask,
    power_spectrum,
    reflect,
)
from keras_contextnet.layers.mel_filters import mel_filters

WINDOW_FUNCTIONS = {
    "hann": np.hanning,
    "hamming": np.hamming,
    "blackman": np.blackman,
    "bartlett": np.bartlett,
}


@keras.saving.register_keras_serializable(package="keras_contextnet")
class LogMelSpectrogram(keras.layers.Layer):
    """Log-mel features of a waveform, 80 bands every 10 ms, normalised per utterance.

    Frame `i` is centred on sample `i * hop`. By default the waveform is continued with zeros on
    both sides, `samples` give `ceil(samples / hop)` frames, and the frames of an utterance do not
    depend on how much padding follows it. Everything is computed in float32, whatever the dtype
    policy.

    Args:
        sample_rate: int, Hz. Of the waveforms that will be given.
        num_bands: int. Mel bands.
        window_seconds: float, seconds. Length of the (symmetric) window.
        hop_seconds: float, seconds. Distance between frames.
        fft_length: int, samples. At least the window's length; 512 holds 25 ms at 16 kHz.
        low_hz: float, Hz. Lower edge of the first band.
        high_hz: float, Hz. Upper edge of the last band; half the sample rate if None.
        preemphasis: float. `x[t] - preemphasis * x[t - 1]` before the transform; 0 for none.
        log_offset: float. Added to the band energies before the logarithm.
        normalize: bool. Give each band mean 0 and deviation 1 over the utterance's frames.
        log_floor: float. Band energies below it count as this much.
        window_function: "hann", "hamming", "blackman" or "bartlett".
        frame_count: how many frames `samples` give: "ceil" of samples / hop, "floor" of it (NeMo
            from 2.5 on), or "floor_plus_one" (NeMo until 2.4, as a centred `torch.stft`).
        pad_mode: "constant" for zeros, or "reflect" (NeMo until 2.4), which mirrors the array given
            at both of its ends and lets the last sample's pre-emphasis reach into padding: an
            utterance's last two frames depend on whether padding follows.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, samples), the waveform in [-1, 1].
        mask: optional boolean tensor (batch, samples), true for the utterance's samples.

    Returns:
        A tensor (batch, frames, num_bands); frames past an utterance's end are 0.

    Raises:
        ValueError: for a window longer than `fft_length`, band edges out of order, an unknown
            `window_function`, `frame_count` or `pad_mode`, or an input that is not
            (batch, samples).

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
        log_floor: float = 0.0,
        window_function: str = "hann",
        frame_count: str = "ceil",
        pad_mode: str = "constant",
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
        self.log_floor = log_floor
        self.window_function = window_function
        self.frame_count = frame_count
        self.pad_mode = pad_mode
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
        for argument, value, known in (
            ("window_function", window_function, tuple(WINDOW_FUNCTIONS)),
            ("frame_count", frame_count, FRAME_COUNTS),
            ("pad_mode", pad_mode, ("constant", "reflect")),
        ):
            if value not in known:
                raise ValueError(
                    f"Expected `{argument}` to be one of {known}. Received: {argument}={value!r}"
                )
        self.window_values = WINDOW_FUNCTIONS[window_function](self.window).astype(np.float32)
        self.filters = mel_filters(num_bands, fft_length, sample_rate, low_hz, self.high_hz)

    @property
    def depends_on_padding(self) -> bool:
        """Whether an utterance's last frames depend on whether padding follows it."""
        return self.pad_mode == "reflect"

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 2:
            raise ValueError(
                "LogMelSpectrogram expects waveforms of shape (batch, samples). Received: "
                f"shape={tuple(input_shape)}. Average channels first, and add the batch axis with "
                "`waveform[None]`."
            )

    def call(self, inputs: Any, mask: Any | None = None) -> Any:
        x = ops.cast(inputs, "float32")  # (batch, samples)
        if mask is not None and self.depends_on_padding:
            x = ops.where(mask, x, 0.0)
        if self.preemphasis:
            x = ops.concatenate([x[:, :1], x[:, 1:] - self.preemphasis * x[:, :-1]], axis=1)
        if mask is not None and not self.depends_on_padding:
            x = ops.where(mask, x, 0.0)
        power = power_spectrum(self._frames(x) * self.window_values, self.fft_length)
        energies = ops.matmul(power, self.filters)  # (batch, frames, num_bands)
        if self.log_floor:
            energies = ops.maximum(energies, self.log_floor)
        features = ops.log(energies + self.log_offset)
        real_frames = self.compute_mask(inputs, mask)
        if real_frames is not None:
            real_frames = ops.expand_dims(real_frames, -1)  # (batch, frames, 1)
        if self.normalize:
            features = _normalize(features, real_frames)
        if real_frames is not None:
            features = ops.where(real_frames, features, 0.0)
        return ops.cast(features, self.compute_dtype)  # (batch, frames, num_bands)

    def _frames(self, x: Any) -> Any:
        """(batch, samples) to overlapping windows, (batch, frames, window)."""
        frames = frame_length(ops.shape(x)[1], self.hop, self.frame_count)
        # Where a centred transform of `fft_length` has a window that lies in its middle.
        before = self.fft_length // 2 - (self.fft_length - self.window) // 2
        if self.pad_mode == "reflect":
            x = reflect(x, before, self.window - before)
        else:
            x = ops.pad(x, ((0, 0), (before, 0)))
        return cut_frames(x, frames, self.window, self.hop)

    def compute_mask(self, inputs: Any, mask: Any | None = None) -> Any | None:
        return frame_mask(mask, self.hop, self.frame_count)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        frames = frame_length(input_shape[1], self.hop, self.frame_count)
        return (input_shape[0], frames, self.num_bands)

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
            "log_floor": self.log_floor,
            "window_function": self.window_function,
            "frame_count": self.frame_count,
            "pad_mode": self.pad_mode,
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
