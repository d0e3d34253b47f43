"""The CTC head: encoder frames to logits."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_contextnet")
class CTCHead(keras.layers.Layer):
    """Maps each encoder frame to logits by itself; a linear layer.

    Args:
        vocabulary_size: int. Token ids, the blank included.
        blank_id: int. The id of the blank; the last one if None.
        use_bias: bool.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        encoder_output: tensor (batch, T, channels).

    Returns:
        Logits, a tensor (batch, T, vocabulary).

    Raises:
        ValueError: for a `blank_id` outside the vocabulary.

    Example:

    ```python
    import numpy as np
    import keras_contextnet

    ctc_head = keras_contextnet.CTCHead(vocabulary_size=28)
    print(ctc_head(np.zeros((2, 50, 320), "float32")).shape)  # (2, 50, 28)
    ```

    Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.
    """

    def __init__(
        self,
        vocabulary_size: int,
        blank_id: int | None = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.blank_id = vocabulary_size - 1 if blank_id is None else blank_id
        if not 0 <= self.blank_id < vocabulary_size:
            raise ValueError(
                f"Expected `blank_id` in [0, {vocabulary_size}). Received: blank_id={blank_id}"
            )
        self.use_bias = use_bias
        self.supports_masking = True
        self.projection = keras.layers.Dense(
            vocabulary_size, use_bias=use_bias, dtype=self.dtype_policy, name="projection"
        )

    def build(self, encoder_output_shape: tuple[int | None, ...]) -> None:
        self.projection.build(encoder_output_shape)

    def call(self, encoder_output: Any) -> Any:
        return self.projection(encoder_output)  # (batch, T, vocabulary)

    def compute_output_shape(
        self, encoder_output_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*encoder_output_shape[:-1], self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "blank_id": self.blank_id,
            "use_bias": self.use_bias,
        }
