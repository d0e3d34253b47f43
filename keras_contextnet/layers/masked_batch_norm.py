"""Batch normalisation whose statistics leave padding out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contextnet.backend import (
    as_tensor,
    custom_gradient,
    multiply_no_nan,
    pull_back,
    sigmoid_gradient,
    square_deviations,
    sum_rows,
    uses_tensorflow_kernels,
)
from keras_contextnet.layers.masking import (
    check_sequence,
    frame_count,
    row_weights,
    zero_padding,
)
from keras_contextnet.replicas import num_replicas, sum_over_replicas


@keras.saving.register_keras_serializable(package="keras_contextnet")
class MaskedBatchNormalization(keras.layers.Layer):
    """Batch normalisation over the real frames of a padded batch, and an activation.

    The statistics are taken in float32 over every frame inside the mask, so that padding moves
    neither the batch's normalisation nor the moving averages. Those keep their values in channels
    whose statistics are not finite. Frames outside the mask become zero and carry no gradient.

    Where a batch is spread over devices, the statistics are those of the whole batch: under JAX by
    themselves, under `tf.distribute` at the cost of two sums over the replicas in each step, one of
    2 x channels + 1 numbers and one of 2 x channels.

    Args:
        momentum: float in [0, 1). Weight of the past in the moving averages.
        epsilon: float. Added to the variance.
        activation: Keras activation, its name, or None. Done here it takes less memory and time
            than after this layer.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, time, channels), or its rows (batch * time, channels).
        mask: optional boolean tensor (batch, time).
        training: bool. Normalise with the batch's statistics and update the moving ones. As
            everywhere in Keras, a layer with `trainable=False` uses the moving ones.
        finite_padding: bool. Says that squares of what is outside the mask are finite, as after a
            convolution of masked frames, which saves the pass that sets it to zero.

    Returns:
        A tensor of the inputs' shape and of the layer's compute dtype.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.layers import MaskedBatchNormalization

    x = np.array([[[1.0], [3.0], [99.0]]], "float32")
    y = MaskedBatchNormalization()(x, mask=np.array([[True, True, False]]), training=True)
    print(np.round(np.asarray(y)[0, :2, 0], 2))  # [-1.  1.]
    ```

    Source: Ioffe and Szegedy, arXiv 1502.03167; the `BN` of ContextNet's section 2.2.3.
    """

    def __init__(
        self,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        activation: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"Expected `momentum` in [0, 1). Received: momentum={momentum}")
        self.momentum = momentum
        self.epsilon = epsilon
        self.activation = keras.activations.get(activation)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        check_sequence(type(self).__name__, input_shape)
        shape = (input_shape[-1],)
        # autocast=False: half precision would round the statistics and their scale.
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=shape, initializer="zeros", trainable=False, autocast=False
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=shape, initializer="ones", trainable=False, autocast=False
        )

    def call(
        self,
        inputs: Any,
        mask: Any | None = None,
        training: bool = False,
        finite_padding: bool = False,
    ) -> Any:
        x = ops.cast(inputs, "float32")
        gamma, beta = as_tensor(self.gamma), as_tensor(self.beta)
        if training and self.trainable:
            x = x if finite_padding else zero_padding(x, mask)
            rows = ops.reshape(x, (-1, x.shape[-1])) if len(x.shape) > 2 else x
            rows = self._normalize_by_batch(rows, mask, gamma, beta)
            x = ops.reshape(rows, ops.shape(x)) if len(x.shape) > 2 else rows
            if self.activates_apart:
                x = zero_padding(self.activation(x), mask)
        else:
            scale = gamma * ops.rsqrt(self.moving_variance + self.epsilon)  # (channels,)
            x = self.activation(x * scale + (beta - self.moving_mean * scale))
            x = zero_padding(x, mask)
        return ops.cast(x, self.compute_dtype)

    @property
    def activates_apart(self) -> bool:
        """Whether the activation is a layer, which is called on frames that are normalised.

        It may tell axes apart, and a custom gradient has none for weights that it may have.
        """
        return isinstance(self.activation, keras.layers.Layer)

    def _normalize_by_batch(self, rows: Any, mask: Any | None, gamma: Any, beta: Any) -> Any:
        """Of rows (batch * time, channels)."""
        mean, variance, count = _moments(ops.stop_gradient(rows), mask, self.moving_mean)
        # One recording with NaN must not be in the averages for ever. Where the mean is not
        # finite the variance is not either.
        share = ops.where(ops.isfinite(variance), 1.0 - self.momentum, 0.0)  # (channels,)
        _move(self.moving_mean, mean, share)
        _move(self.moving_variance, variance, share)
        return _normalize(
            keras.activations.linear if self.activates_apart else self.activation,
            rows,
            gamma,
            beta,
            mean,
            ops.rsqrt(variance + self.epsilon),
            count,
            None if mask is None else row_weights(mask),
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "activation": keras.activations.serialize(self.activation),
        }


def _move(average: Any, batch: Any, share: Any) -> None:
    """Moves an average by a share of its distance to the batch's; where that is 0, not at all."""
    value = as_tensor(average)
    average.assign(value - multiply_no_nan(value - batch, share))


def _moments(rows: Any, mask: Any | None, shift: Any) -> tuple[Any, Any, Any]:
    """Mean and variance (channels,) of the real frames of all replicas, and the number of those.

    Args:
        rows: tensor (batch * time, channels), finite in frames that are not real.
        mask: tensor (batch, time), true for real frames, or None.
        shift: variable or tensor (channels,), the same on every replica.
    """
    mean, variance, count = _moments_of_part(rows, mask)
    if num_replicas() == 1:
        return mean, variance, count
    if mask is not None:
        count = frame_count(mask)  # 0 for a replica of padding alone
    # One sum over the replicas for all three. Means are taken from one that all of them know, so
    # that their squares do not swallow the variance.
    deviation = mean - shift
    parts = [deviation * count, (variance + ops.square(deviation)) * count]
    parts.append(ops.reshape(count, (1,)))
    total = sum_over_replicas(ops.concatenate(parts))  # (2 x channels + 1,)
    count = ops.maximum(total[-1], 1.0)
    deviation, square = ops.split(total[:-1] / count, 2)
    return shift + deviation, ops.maximum(square - ops.square(deviation), 0.0), count


def _moments_of_part(rows: Any, mask: Any | None) -> tuple[Any, Any, Any]:
    """Those of one replica, and the number of its frames, or 1 if it has none."""
    if mask is None:
        mean, variance = ops.moments(rows, axes=0)
        return mean, variance, ops.cast(ops.maximum(ops.shape(rows)[0], 1), "float32")
    weights, count = row_weights(mask), frame_count(mask, 1.0)
    mean = sum_rows(rows, weights) / count
    return mean, sum_rows(square_deviations(rows, mean), weights) / count, count


def _normalize(
    activation: Callable,
    rows: Any,
    gamma: Any,
    beta: Any,
    mean: Any,
    inverse: Any,
    count: Any,
    weights: Any | None,
) -> Any:
    """Normalises by moments that are functions of the rows; their share is in the rows' gradient.

    Written out, the gradient keeps the rows and the activation's slope for the backward pass, of
    which a compiler drops the latter, and takes a third of the operations that differentiating the
    moments takes. Rows of weight 0 become 0, and so does their gradient. `inverse` is that of the
    deviation.
    """

    @custom_gradient
    def with_gradient(
        rows: Any, gamma: Any, beta: Any, mean: Any, inverse: Any, count: Any, *weights: Any
    ) -> Any:
        scale = gamma * inverse  # (channels,)
        shift = beta - mean * scale
        activated, by_kept_slope = _activate(activation, rows * scale + shift)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            if uses_tensorflow_kernels():
                upstream = by_kept_slope(upstream)
            else:  # a compiler computes it again in the same pass
                upstream = _activate(activation, rows * scale + shift)[1](upstream)
            for_beta = sum_rows(upstream, *weights)  # (channels,)
            for_gamma = (sum_rows(upstream * rows, *weights) - mean * for_beta) * inverse
            # The moments are those of all replicas' frames, and act on all of their losses.
            of_all_beta, of_all_gamma = _sum_both(for_beta, for_gamma)
            # (upstream - (of_all_beta + of_all_gamma * (rows - mean) * inverse) / count) * scale
            share = scale / count
            slope = of_all_gamma * inverse * share
            offset = mean * slope - of_all_beta * share
            for_rows = upstream * scale - (rows * slope - offset)
            return multiply_no_nan(for_rows, *weights) if weights else for_rows, for_gamma, for_beta

        return multiply_no_nan(activated, *weights) if weights else activated, gradient

    weights = () if weights is None else (weights,)
    return with_gradient(rows, gamma, beta, constants=(mean, inverse, count, *weights))


def _sum_both(first: Any, second: Any) -> tuple[Any, Any]:
    """Sums two tensors (channels,) over the replicas, which wait for each other once."""
    if num_replicas() == 1:
        return first, second
    total = sum_over_replicas(ops.stack([first, second]))
    return total[0], total[1]


def _activate(activation: Callable, x: Any) -> tuple[Any, Callable]:
    """The activation of x, and what makes x's gradient out of that of the result."""
    if activation is keras.activations.linear:
        return x, lambda upstream: upstream
    if activation is keras.activations.silu:
        gate = ops.sigmoid(x)
        slope = gate + sigmoid_gradient(gate, x)
        return x * gate, lambda upstream: upstream * slope
    return activation(x), lambda upstream: pull_back(activation, [x], lambda _: upstream)[0]
