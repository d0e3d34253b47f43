"""The joiner: encoder frames and predictor outputs to a lattice of logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_contextnet.layers.pointwise_product import product_for_training


@keras.saving.register_keras_serializable(package="keras_contextnet")
class Joiner(keras.layers.Layer):
    """Adds a projection of each frame to one of each predictor output, and maps it to logits.

    `logits[t, u] = W activation(W_e encoder[t] + b_e + W_p predictor[u] + b_p) + b`.

    Args:
        vocabulary_size: int. Token ids, the blank included.
        units: int. Width of the joint space.
        activation: Keras activation or its name.
        use_bias: bool. Whether the three dense layers have biases.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        encoder_output: tensor (batch, T, channels).
        predictor_output: tensor (batch, U + 1, units of the predictor).
        training: bool. Whether to multiply in what `layers.set_product_dtype` says.

    Returns:
        Logits, a tensor (batch, T, U + 1, vocabulary).

    Example:

    ```python
    import numpy as np
    import keras_contextnet

    joiner = keras_contextnet.Joiner(vocabulary_size=28, units=64)
    encoder_output = np.zeros((2, 50, 320), "float32")
    predictor_output = np.zeros((2, 8, 640), "float32")
    print(joiner(encoder_output, predictor_output).shape)  # (2, 50, 8, 28)
    ```

    Source: Graves et al., arXiv 1303.5778, section 2.1 (the joint network). ContextNet does not
    give its width; 640 * alpha is inferred from the published sizes.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int = 640,
        activation: Any = "tanh",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.supports_masking = True
        self.encoder_projection = self._dense(units, "encoder_projection")
        self.predictor_projection = self._dense(units, "predictor_projection")
        self.output_projection = self._dense(vocabulary_size, "output_projection")

    def _dense(self, units: int, name: str) -> keras.layers.Dense:
        return keras.layers.Dense(units, use_bias=self.use_bias, dtype=self.dtype_policy, name=name)

    def build(
        self,
        encoder_output_shape: tuple[int | None, ...],
        predictor_output_shape: tuple[int | None, ...],
    ) -> None:
        shapes = {
            self.encoder_projection: encoder_output_shape,
            self.predictor_projection: predictor_output_shape,
            self.output_projection: (None, None, None, self.units),
        }
        for projection, shape in shapes.items():
            if not projection.built:  # by a `PredictorLanguageModel`
                projection.build(shape)

    def call(self, encoder_output: Any, predictor_output: Any, training: bool = False) -> Any:
        encoder_output = self.encoder_projection(encoder_output)  # (batch, T, units)
        predictor_output = self.predictor_projection(predictor_output)  # (batch, U + 1, units)
        return self.join(
            ops.expand_dims(encoder_output, 2), ops.expand_dims(predictor_output, 1), training
        )  # (batch, T, U + 1, vocabulary)

    def join(self, projected_encoder: Any, projected_predictor: Any, training: bool = False) -> Any:
        """Maps the two projections, of shapes that broadcast together, to logits.

        Decoders project the encoder's output once, and each predictor output once. Losses do so
        too, with `training=True`.
        """
        joined = self.activation(projected_encoder + projected_predictor)
        if not training:
            return self.output_projection(joined)
        logits = product_for_training(joined, self.output_projection.kernel)
        if self.use_bias:
            logits = logits + ops.cast(self.output_projection.bias, logits.dtype)
        return logits

    def compute_mask(self, encoder_output: Any, mask: Any | None = None) -> Any | None:
        """Returns the frames' mask (batch, T), which `RNNTLoss` reads."""
        return mask

    def compute_output_shape(
        self,
        encoder_output_shape: tuple[int | None, ...],
        predictor_output_shape: tuple[int | None, ...],
    ) -> tuple[int | None, ...]:
        return (
            *encoder_output_shape[:2],
            predictor_output_shape[1],
            self.vocabulary_size,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }
