"""SpecAugment: training features with bands and stretches of time blanked out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_contextnet.layers.feature_augmentation import FeatureAugmentation
from keras_contextnet.layers.masking import sequence_length


@keras.saving.register_keras_serializable(package="keras_contextnet")
class SpecAugment(FeatureAugmentation):
    """Blanks random bands and random stretches of time while training.

    Every utterance draws its own masks. A frequency mask covers 0 to `frequency_width` bands; a
    time mask covers up to `time_ratio` of the utterance's own length, counted without padding,
    and lies within it, so that an utterance is treated alike in any batch. There is no warping.

    Args:
        frequency_masks: int. Frequency masks per utterance.
        frequency_width: int, bands. Widest frequency mask.
        time_masks: int. Time masks per utterance.
        time_ratio: float in [0, 1]. Longest time mask, as a share of the utterance.
        mask_value: float. What blanked cells become; 0 is the mean of normalised features.
        seed: optional int. Makes the sequence of masks reproducible.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, frames, bands); any number of frames from 1 up.
        mask: optional boolean tensor (batch, frames), true for real frames.
        training: bool. Outside training the input is returned as it is.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: for negative counts or widths, a `time_ratio` outside [0, 1], or an input
            that is not (batch, frames, bands).

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import SpecAugment

    features = np.ones((4, 300, 80), "float32")
    augmented = np.asarray(SpecAugment(seed=1)(features, training=True))
    print(augmented.shape, bool((augmented == 0).any()))  # (4, 300, 80) True
    ```

    Source: ContextNet (arXiv 2005.03191), section 3.1, for the widths and the ten time masks; Park
    et al., arXiv 1904.08779 and 1912.05533 (masks that scale with length). ContextNet does not
    state the number of frequency masks; two is SpecAugment's own.
    """

    def __init__(
        self,
        frequency_masks: int = 2,
        frequency_width: int = 27,
        time_masks: int = 10,
        time_ratio: float = 0.05,
        mask_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        for argument, value in (
            ("frequency_masks", frequency_masks),
            ("frequency_width", frequency_width),
            ("time_masks", time_masks),
        ):
            if not isinstance(value, int) or value < 0:
                raise ValueError(
                    f"Expected `{argument}` to be a non-negative integer. "
                    f"Received: {argument}={value}"
                )
        if not 0.0 <= time_ratio <= 1.0:
            raise ValueError(f"Expected `time_ratio` in [0, 1]. Received: time_ratio={time_ratio}")
        self.frequency_masks = frequency_masks
        self.frequency_width = frequency_width
        self.time_masks = time_masks
        self.time_ratio = time_ratio
        self.mask_value = mask_value

    def augment(self, inputs: Any, mask: Any | None) -> Any:
        batch, frames, bands = ops.shape(inputs)
        length = ops.cast(sequence_length(inputs, mask), "float32")  # (batch,)
        blanked = ops.zeros((1, 1, 1), dtype="bool")
        if self.frequency_masks:
            width = ops.broadcast_to(float(min(self.frequency_width, bands)), (batch,))
            cells = self._draw(self.frequency_masks, width, ops.full((batch,), float(bands)), bands)
            blanked = ops.logical_or(blanked, ops.expand_dims(cells, 1))  # (batch, 1, bands)
        if self.time_masks:
            cells = self._draw(self.time_masks, length * self.time_ratio, length, frames)
            blanked = ops.logical_or(blanked, ops.expand_dims(cells, 2))  # (batch, frames, bands)
        return ops.where(blanked, ops.cast(self.mask_value, inputs.dtype), inputs)

    def _draw(self, count: int, widest: Any, extent: Any, size: Any) -> Any:
        """Draws `count` intervals within `extent` (batch,); returns their union, (batch, size)."""
        shape = (ops.shape(extent)[0], count)
        widest, extent = ops.expand_dims(widest, 1), ops.expand_dims(extent, 1)  # (batch, 1)
        # Widths are drawn from 0, 1, ..., floor(widest), starts from 0, 1, ..., extent - width.
        width = ops.floor(self._uniform(shape) * (ops.floor(widest) + 1.0))  # (batch, count)
        start = ops.floor(self._uniform(shape) * (extent - width + 1.0))
        position = ops.reshape(ops.cast(ops.arange(size), "float32"), (1, 1, -1))
        start, end = ops.expand_dims(start, 2), ops.expand_dims(start + width, 2)
        inside = ops.logical_and(position >= start, position < end)  # (batch, count, size)
        return ops.any(inside, axis=1)

    def _uniform(self, shape: tuple[Any, int]) -> Any:
        """Random numbers in [0, 1); half precision would round some of them up to 1."""
        return keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "frequency_masks": self.frequency_masks,
            "frequency_width": self.frequency_width,
            "time_masks": self.time_masks,
            "time_ratio": self.time_ratio,
            "mask_value": self.mask_value,
        }
