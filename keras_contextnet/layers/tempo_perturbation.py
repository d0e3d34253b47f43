"""Tempo perturbation: the same sounds, hurried here and drawn out there."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_contextnet.layers.feature_augmentation import FeatureAugmentation
from keras_contextnet.layers.masking import sequence_length

# Of which a tempo is the sum.
WAVES = 8


@keras.saving.register_keras_serializable(package="keras_contextnet")
class TempoPerturbation(FeatureAugmentation):
    """Hurries some stretches of each utterance and draws out others; its length stays.

    Readers differ in which sounds they dwell on, and a recogniser that hears the same recordings
    again and again learns when each sound comes. `SpeedPerturbation` changes the tempo of a whole
    recording alike; here the logarithm of the tempo is a sum of eight waves of random periods and
    phases. A frame is interpolated between the two that are nearest to where it comes from.
    Together with others: `keras.Sequential([VocalTractPerturbation(), TempoPerturbation()])` as a
    model's `augmenter`.

    Args:
        deviation: float. Standard deviation of the logarithm of the tempo; each utterance draws its
            own between 0 and this.
        shortest_period: int, frames. Waves' frequencies are uniform between 0 and one in this.
        seed: optional int.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, frames, bands).
        mask: optional boolean tensor (batch, frames), true for real frames; padding stays as it is.
        training: bool. Outside training the input is returned as it is.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: for a `deviation` that is negative or not finite, a `shortest_period` that is
            not a positive integer, or an input that is not (batch, frames, bands).

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import TempoPerturbation

    features = np.broadcast_to(np.arange(100.0)[None, :, None], (2, 100, 80)).astype("float32")
    perturbed = np.asarray(TempoPerturbation(seed=1)(features, training=True))
    print(perturbed.shape, perturbed[:, [0, 25, 50, 75, 99], 0].round(1))
    ```

    Source: our own, a smooth form of the time warping of Park et al., arXiv 1904.08779, section 2.
    """

    def __init__(
        self,
        deviation: float = 0.3,
        shortest_period: int = 60,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        if not 0 <= deviation < math.inf:
            raise ValueError(f"Expected `deviation` of 0 or more. Received: deviation={deviation}")
        if not isinstance(shortest_period, int) or shortest_period < 1:
            raise ValueError(
                "Expected `shortest_period` to be a positive integer. "
                f"Received: shortest_period={shortest_period}"
            )
        self.deviation, self.shortest_period = deviation, shortest_period

    def augment(self, inputs: Any, mask: Any | None) -> Any:
        batch, frames, _ = ops.shape(inputs)
        last = sequence_length(inputs, mask)[:, None] - 1  # (batch, 1)
        source = self._source(ops.cast(last, "float32"), batch, frames)
        before = ops.cast(ops.floor(source), "int32")  # (batch, frames)
        share = ops.cast(source - ops.floor(source), inputs.dtype)[..., None]
        earlier = ops.take_along_axis(inputs, before[..., None], axis=1)
        later = ops.take_along_axis(inputs, ops.minimum(before + 1, last)[..., None], axis=1)
        return earlier * (1 - share) + later * share

    def _source(self, last: Any, batch: Any, frames: Any) -> Any:
        """Draws which frame each is to come from (batch, frames), in [0, frames - 1]."""
        place = ops.cast(ops.arange(frames), "float32")
        tempo = ops.where(place < last, ops.exp(self._log_tempo(batch, place)), 0.0)
        passed = ops.cumsum(tempo, axis=1) - tempo  # from the first frame to each
        share = passed / ops.maximum(ops.sum(tempo, axis=1, keepdims=True), 1e-6)
        source = ops.minimum(share, 1.0) * last
        return ops.where(place <= last, source, place)

    def _log_tempo(self, batch: Any, place: Any) -> Any:
        """Draws waves, whose number no padding changes, and adds them (batch, frames)."""
        shape, seed = (batch, WAVES), self.seed_generator
        frequency = keras.random.uniform(shape, 0.0, 1 / self.shortest_period, seed=seed)
        phase = keras.random.uniform(shape, seed=seed)
        turns = frequency[:, None] * place[:, None] + phase[:, None]  # (batch, frames, waves)
        waves = ops.sum(ops.sin(2 * math.pi * turns), axis=-1) * math.sqrt(2 / WAVES)
        return self.deviation * keras.random.uniform((batch, 1), seed=seed) * waves

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "deviation": self.deviation,
            "shortest_period": self.shortest_period,
        }
