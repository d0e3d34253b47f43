"""Vocal tract length perturbation: one speaker's frequencies moved to another's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contextnet.layers.feature_augmentation import FeatureAugmentation
from keras_contextnet.layers.mel_filters import hertz_to_mel, mel_to_hertz

FACTORS = (0.88, 0.9, 0.92, 0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1, 1.12)


@keras.saving.register_keras_serializable(package="keras_contextnet")
class VocalTractPerturbation(FeatureAugmentation):
    """Stretches or compresses the frequencies of each utterance by a factor of its own.

    Resonances of a longer vocal tract are lower, all by about one factor, so that few speakers
    sound like many. A band takes what was at its frequency times the factor, interpolated between
    the two nearest bands; above `knee_hz` a second line leads to `high_hz`, which stays in place.
    Tempo stays too, where `SpeedPerturbation` changes both. Together with `SpecAugment`:
    `keras.Sequential([VocalTractPerturbation(), SpecAugment()])` as a model's `augmenter`.

    Args:
        factors: floats, each as likely as the others.
        low_hz: float, Hz. Lower edge of the lowest band, as of `LogMelSpectrogram`.
        high_hz: float, Hz. Upper edge of the highest band.
        knee_hz: float, Hz. Up to where the highest formants are.
        seed: optional int.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, frames, bands), a logarithmic mel spectrogram.
        mask: optional boolean tensor (batch, frames); changes nothing.
        training: bool. Outside training the input is returned as it is.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: for no factors, one that is not positive, or one that takes `knee_hz` to
            `high_hz` and beyond; for an input that is not (batch, frames, bands).

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import VocalTractPerturbation

    features = np.zeros((2, 100, 80), "float32")
    features[:, :, 40] = 1.0
    perturbed = np.asarray(VocalTractPerturbation(seed=1)(features, training=True))
    print(perturbed.shape, perturbed[:, 0].argmax(axis=-1))
    ```

    Source: Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition",
    2013, equation 1, on mel bands instead of the filters' edges.
    """

    def __init__(
        self,
        factors: Sequence[float] = FACTORS,
        low_hz: float = 0.0,
        high_hz: float = 8000.0,
        knee_hz: float = 4800.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.factors = [float(factor) for factor in factors]
        if not self.factors or min(self.factors) <= 0:
            raise ValueError(f"Expected positive `factors`. Received: factors={factors}")
        if not 0 < max(knee_hz, knee_hz / min(self.factors)) < high_hz:
            raise ValueError(
                f"Expected `knee_hz`, moved by any of `factors`, below high_hz={high_hz}. "
                f"Received: knee_hz={knee_hz}, factors={factors}"
            )
        self.low_hz, self.high_hz, self.knee_hz = low_hz, high_hz, knee_hz

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self._warps = np.stack([self._warp(factor, input_shape[-1]) for factor in self.factors])

    def _warp(self, factor: float, bands: int) -> np.ndarray:
        """The matrix (bands, bands) from old bands to new ones."""
        edges = np.linspace(hertz_to_mel(self.low_hz), hertz_to_mel(self.high_hz), bands + 2)
        centres = mel_to_hertz(edges[1:-1])  # Hz
        knee = self.knee_hz * min(factor, 1.0) / factor
        slope = (self.high_hz - knee * factor) / (self.high_hz - knee)
        above = self.high_hz - slope * (self.high_hz - centres)
        source = hertz_to_mel(np.where(centres <= knee, centres * factor, above))
        place = np.interp(source, edges[1:-1], np.arange(bands))  # in bands
        distance = np.abs(np.arange(bands)[:, None] - place)  # (old bands, new bands)
        return np.maximum(0.0, 1.0 - distance).astype("float32")

    def augment(self, inputs: Any, mask: Any | None) -> Any:
        shape = (ops.shape(inputs)[0],)
        chosen = keras.random.randint(shape, 0, len(self.factors), seed=self.seed_generator)
        warps = ops.take(ops.cast(self._warps, inputs.dtype), chosen, axis=0)
        return ops.matmul(inputs, warps)  # (batch, frames, bands)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "factors": self.factors,
            "low_hz": self.low_hz,
            "high_hz": self.high_hz,
            "knee_hz": self.knee_hz,
        }
