"""What layers that change features while training have in common."""

from __future__ import annotations

from typing import Any

import keras

from keras_contextnet.layers.masking import check_sequence


class FeatureAugmentation(keras.layers.Layer):
    """Changes features (batch, frames, bands) while training, and keeps their shape and mask.

    Subclasses define `augment(inputs, mask)`, and draw from `seed_generator`.

    Args:
        seed: optional int. Makes what is drawn reproducible.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        check_sequence(type(self).__name__, input_shape)

    def call(self, inputs: Any, mask: Any | None = None, training: bool = False) -> Any:
        return self.augment(inputs, mask) if training else inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
