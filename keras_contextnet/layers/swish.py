"""Swish, the activation of every ContextNet block."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_contextnet")
class Swish(keras.layers.Layer):
    """Swish activation, `x * sigmoid(beta * x)`.

    Args:
        beta: float. Slope of the sigmoid; 1 is what ContextNet uses (then Swish is SiLU), 0 halves
            the input, and a large value approaches ReLU.
        learn_beta: bool. Whether `beta` is a trainable scalar that starts at the given value.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor of any shape.
        mask: optional boolean tensor, passed on; it changes nothing.

    Returns:
        A tensor of the input's shape and of the layer's compute dtype.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import Swish

    y = Swish(beta=1.0)(np.array([[-1.0, 0.0, 1.0]], "float32"))
    print(np.round(np.asarray(y), 3))  # [[-0.269  0.     0.731]]
    ```

    Source: ContextNet (arXiv 2005.03191), section 2.2.3; Ramachandran et al., arXiv 1710.05941.
    """

    def __init__(self, beta: float = 1.0, learn_beta: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial_beta = float(beta)
        self.learn_beta = learn_beta
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.learn_beta:
            self.beta = self.add_weight(
                name="beta",
                shape=(),
                initializer=keras.initializers.Constant(self.initial_beta),
            )
        else:
            self.beta = self.initial_beta

    def call(self, inputs: Any, mask: Any | None = None) -> Any:
        if not self.learn_beta and self.initial_beta == 1.0:
            return ops.silu(inputs)
        return inputs * ops.sigmoid(ops.cast(self.beta, inputs.dtype) * inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.initial_beta, "learn_beta": self.learn_beta}
