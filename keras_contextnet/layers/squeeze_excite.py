"""Squeeze-and-excitation over time: the global context of ContextNet."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_contextnet.layers.masking import check_sequence, frame_weights, zero_padding


@keras.saving.register_keras_serializable(package="keras_contextnet")
class SqueezeExcite1D(keras.layers.Layer):
    """Scales each channel by a gate computed from its average over time.

    `gate = sigmoid(W2 activation(W1 mean(x) + b1) + b2)` and the output is `gate * x`. The mean
    leaves padding out.

    Args:
        reduction: int. The bottleneck has `max(1, channels // reduction)` units.
        activation: Keras activation of the bottleneck, or its name.
        use_bias: bool. Whether the two dense layers have biases.
        context: "global", or an odd int: the number of frames, centred on the frame at hand, that
            the mean looks at. At the edges the mean is over the frames that exist.
        causal: bool. Look at the past only: `context` frames that end with the one at hand, or,
            for "global", all frames so far. Any positive `context` is then allowed. A model of
            causal convolutions can stream only if its squeeze-excite is causal too.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, time, channels).
        mask: optional boolean tensor (batch, time), true for real frames.
        zero_padded: bool. Says that inputs are zero outside the mask.

    Returns:
        A tensor (batch, time, channels).

    Raises:
        ValueError: for a non-positive `reduction`, or a `context` that is neither "global" nor a
            positive (without `causal`, odd) integer.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import SqueezeExcite1D

    x = np.random.default_rng(0).normal(size=(2, 50, 64)).astype("float32")
    print(SqueezeExcite1D(reduction=8)(x).shape)  # (2, 50, 64)
    print(SqueezeExcite1D(context=25)(x).shape)  # (2, 50, 64)
    ```

    Source: ContextNet (arXiv 2005.03191), section 2.2.2; the window is the subject of its table 4.
    """

    def __init__(
        self,
        reduction: int = 8,
        activation: Any = "swish",
        use_bias: bool = True,
        context: str | int = "global",
        causal: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(reduction, int) or reduction < 1:
            raise ValueError(
                f"Expected `reduction` to be a positive integer. Received: reduction={reduction}"
            )
        if context != "global":
            _check_window(context, causal)
        self.reduction = reduction
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.context = context
        self.causal = causal
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        check_sequence(type(self).__name__, input_shape)
        channels = input_shape[-1]
        units = max(1, channels // self.reduction)
        self.squeeze = keras.layers.Dense(
            units,
            activation=self.activation,
            use_bias=self.use_bias,
            dtype=self.dtype_policy,
            name="squeeze",
        )
        self.excite = keras.layers.Dense(
            channels,
            activation="sigmoid",
            use_bias=self.use_bias,
            dtype=self.dtype_policy,
            name="excite",
        )
        self.squeeze.build((input_shape[0], 1, channels))
        self.excite.build((input_shape[0], 1, units))

    def call(self, inputs: Any, mask: Any | None = None, zero_padded: bool = False) -> Any:
        # Half precision cannot add up thousands of frames.
        x = ops.cast(inputs, "float32")
        if mask is None:
            weights = ops.ones_like(x[:, :, :1])  # (batch, time, 1)
        else:
            weights = frame_weights(mask, "float32")
            x = zero_padding(x, mask, done=zero_padded)
        mean = self._sum_context(x) / ops.maximum(self._sum_context(weights), 1.0)
        gate = self.excite(self.squeeze(ops.cast(mean, self.compute_dtype)))
        if len(gate.shape) == 2:
            gate = ops.expand_dims(gate, 1)  # (batch, 1, channels)
        return inputs * gate

    def _sum_context(self, x: Any) -> Any:
        """(batch, time, channels) to sums over the context, of the same shape.

        One sum over all frames is (batch, channels): of two axes a dense layer is a single
        operator in LiteRT, of three a dozen.
        """
        if self.context == "global":
            return ops.cumsum(x, axis=1) if self.causal else ops.sum(x, axis=1)
        future = 0 if self.causal else self.context // 2
        past = self.context - 1 - future
        return _window_sum(ops.pad(x, ((0, 0), (past, future), (0, 0))), self.context)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "context": self.context,
            "causal": self.causal,
        }


def _window_sum(x: Any, frames: int) -> Any:
    """Sums `frames` neighbours: (batch, time, channels) to (batch, time - frames + 1, channels).

    Windows of 1, 2, 4, ... frames are sums of two shorter ones, and those in the binary form of
    `frames` are laid end to end. A difference of running sums would take fewer additions, but its
    rounding errors grow with the utterance.
    """
    total, covered, size = 0.0, 0, 1
    while size <= frames:
        if frames & size:
            after = frames - covered - size
            total = total + x[:, covered : -after or None]
            covered += size
        size *= 2
        if size <= frames:
            x = x[:, : -(size // 2)] + x[:, size // 2 :]  # sums of `size` frames
    return total


def _check_window(context: Any, causal: bool) -> None:
    if isinstance(context, bool) or not isinstance(context, int) or context < 1:
        raise ValueError(
            'Expected `context` to be "global" or a positive number of frames. '
            f"Received: context={context!r}"
        )
    if not causal and context % 2 == 0:
        raise ValueError(
            "Expected an odd `context`, so that the window has a middle frame. "
            f"Received: context={context}. Use context={context + 1}, or causal=True."
        )
