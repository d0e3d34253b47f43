"""The joiner that only adds, with which pruned training finds where to look."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_contextnet")
class SimpleJoiner(keras.layers.Layer):
    """Maps encoder frames and predictor outputs to logits, each by itself: they are to be added.

    Args:
        vocabulary_size: int. Token ids, the blank included.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        encoder_output: tensor (batch, T, channels).
        predictor_output: tensor (batch, U + 1, units of the predictor).

    Returns:
        Two tensors of logits, (batch, T, vocabulary) and (batch, U + 1, vocabulary), for
        `keras_contextnet.losses.rnnt_loss_simple`.

    Example:

    ```python
    import numpy as np
    import keras_contextnet as kc

    simple_joiner = kc.models.SimpleJoiner(vocabulary_size=28)
    encoder_logits, predictor_logits = simple_joiner(
        np.zeros((2, 50, 320), "float32"), np.zeros((2, 8, 640), "float32")
    )
    print(encoder_logits.shape, predictor_logits.shape)  # (2, 50, 28) (2, 8, 28)
    ```

    Source: Kuang et al. 2022, arXiv 2206.13236, section 3.1.
    """

    def __init__(self, vocabulary_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.supports_masking = True
        self.encoder_projection = keras.layers.Dense(
            vocabulary_size, dtype=self.dtype_policy, name="encoder_projection"
        )
        self.predictor_projection = keras.layers.Dense(
            vocabulary_size, dtype=self.dtype_policy, name="predictor_projection"
        )

    def build(
        self,
        encoder_output_shape: tuple[int | None, ...],
        predictor_output_shape: tuple[int | None, ...],
    ) -> None:
        self.encoder_projection.build(encoder_output_shape)
        self.predictor_projection.build(predictor_output_shape)

    def call(self, encoder_output: Any, predictor_output: Any) -> tuple[Any, Any]:
        return self.encoder_projection(encoder_output), self.predictor_projection(predictor_output)

    def compute_mask(self, encoder_output: Any, mask: Any | None = None) -> None:
        """Returns None: the losses get lengths."""

    def compute_output_shape(
        self,
        encoder_output_shape: tuple[int | None, ...],
        predictor_output_shape: tuple[int | None, ...],
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        return (
            (*encoder_output_shape[:-1], self.vocabulary_size),
            (*predictor_output_shape[:-1], self.vocabulary_size),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}
