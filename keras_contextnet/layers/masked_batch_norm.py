"""Batch normalisation whose statistics leave padding out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contextnet.backend import custom_gradient, pull_back
from keras_contextnet.layers.masking import check_sequence
from keras_contextnet.replicas import num_replicas, sum_over_replicas


@keras.saving.register_keras_serializable(package="keras_contextnet")
class MaskedBatchNormalization(keras.layers.Layer):
    """Batch normalisation over the real frames of a padded batch, and an activation.

    The statistics are taken in float32 over every frame inside the mask, so that padding moves
    neither the batch's normalisation nor the moving averages. Those keep their values in channels
    whose statistics are not finite. Frames outside the mask are
    transformed like the others, but carry no gradient; whoever reads them next masks them.

    Where a batch is spread over devices, the statistics are those of the whole batch: under JAX by
    themselves, under `tf.distribute` at the cost of two sums over the replicas in each step, one of
    2 x channels + 1 numbers and one of 2 x channels.

    Args:
        momentum: float in [0, 1). Weight of the past in the moving averages.
        epsilon: float. Added to the variance.
        activation: Keras activation, its name, or None. Done here it takes no memory of its own:
            training keeps the input alone.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: tensor (batch, time, channels).
        mask: optional boolean tensor (batch, time).
        training: bool. Normalise with the batch's statistics and update the moving ones. As
            everywhere in Keras, a layer with `trainable=False` uses the moving ones.

    Returns:
        A tensor (batch, time, channels) of the layer's compute dtype.

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

    def call(self, inputs: Any, mask: Any | None = None, training: bool = False) -> Any:
        x = ops.cast(inputs, "float32")
        # Custom gradients take tensors; adding 0 makes one of a variable on every backend.
        gamma, beta = self.gamma + 0.0, self.beta + 0.0
        if training and self.trainable:
            mean, variance, count = _moments(ops.stop_gradient(x), mask, self.moving_mean + 0.0)
            # One recording with NaN must not be in the averages for ever. Where the mean is not
            # finite the variance is not either.
            finite = ops.isfinite(variance)  # (channels,)
            self._update_moving(self.moving_mean, mean, finite)
            self._update_moving(self.moving_variance, variance, finite)
            weights = ops.ones((1, 1, 1)) if mask is None else _as_weights(mask)
            deviation = ops.sqrt(variance + self.epsilon)
            statistics = (mean, deviation, weights, count)
            # A custom gradient has none for weights that the activation may have.
            if isinstance(self.activation, keras.layers.Layer):
                x = _normalize_by_batch(keras.activations.linear, x, gamma, beta, *statistics)
                x = self.activation(x)
            else:
                x = _normalize_by_batch(self.activation, x, gamma, beta, *statistics)
        else:
            scale = gamma * ops.rsqrt(self.moving_variance + self.epsilon)  # (channels,)
            x = self.activation(x * scale + (beta - self.moving_mean * scale))
        return ops.cast(x, self.compute_dtype)

    def _update_moving(self, moving: Any, batch: Any, finite: Any) -> None:
        updated = moving * self.momentum + batch * (1.0 - self.momentum)
        moving.assign(ops.where(finite, updated, moving.value))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "activation": keras.activations.serialize(self.activation),
        }


def _as_weights(mask: Any) -> Any:
    return ops.expand_dims(ops.cast(mask, "float32"), -1)  # (batch, time, 1)


def _moments(x: Any, mask: Any | None, shift: Any) -> tuple[Any, Any, Any]:
    """Returns mean and variance (channels,) of the real frames, and the number of those."""
    mean, variance, count = _moments_of_part(x, mask)
    if num_replicas() == 1:
        return mean, variance, ops.maximum(count, 1.0)
    # One sum over the replicas for all three. Means are taken from one that all of them know, so
    # that their squares do not swallow the variance.
    deviation = mean - shift
    parts = [deviation * count, (variance + ops.square(deviation)) * count]
    parts.append(ops.reshape(count, (1,)))
    total = sum_over_replicas(ops.concatenate(parts))  # (2 x channels + 1,)
    count = ops.maximum(total[-1], 1.0)
    deviation, square = ops.split(total[:-1] / count, 2)
    return shift + deviation, ops.maximum(square - ops.square(deviation), 0.0), count


def _moments_of_part(x: Any, mask: Any | None) -> tuple[Any, Any, Any]:
    if mask is None:
        mean, variance = ops.moments(x, axes=(0, 1))
        return mean, variance, ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32")
    count = ops.sum(ops.cast(mask, "float32"))
    divisor = ops.maximum(count, 1.0)
    real = ops.expand_dims(mask, -1)
    # Selected, not weighted with 0: what padding holds may be infinite or become so when squared.
    mean = ops.sum(ops.where(real, x, 0.0), axis=(0, 1)) / divisor
    variance = ops.sum(ops.where(real, ops.square(x - mean), 0.0), axis=(0, 1)) / divisor
    return mean, variance, count


def _normalize_by_batch(
    activation: Callable,
    x: Any,
    gamma: Any,
    beta: Any,
    mean: Any,
    deviation: Any,
    weights: Any,
    count: Any,
) -> Any:
    """Normalises by moments that are functions of x; their share is in x's gradient.

    Written out, the gradient keeps x alone for the backward pass and takes a third of the
    operations that differentiating the moments takes. Frames of weight 0 have none.
    """

    def normalize(x: Any, gamma: Any, beta: Any, mean: Any, deviation: Any) -> Any:
        scale = gamma / deviation  # (channels,)
        return x * scale + (beta - mean * scale)

    @custom_gradient
    def with_gradient(
        x: Any, gamma: Any, beta: Any, mean: Any, deviation: Any, weights: Any, count: Any
    ) -> Any:
        parameters = (gamma, beta, mean, deviation)

        def gradient(upstream: Any) -> tuple[Any, ...]:
            (upstream,) = pull_back(activation, [normalize(x, *parameters)], lambda _: upstream)
            upstream = ops.where(weights > 0, upstream, 0.0)
            normalized = ops.where(weights > 0, (x - mean) / deviation, 0.0)
            beta_gradient = ops.sum(upstream, axis=(0, 1))
            gamma_gradient = ops.sum(upstream * normalized, axis=(0, 1))
            # The moments are those of all replicas' frames, and act on all of their losses.
            of_all = sum_over_replicas(ops.stack([beta_gradient, gamma_gradient]))
            through_moments = (of_all[0] + normalized * of_all[1]) * (weights / count)
            return (
                (upstream - through_moments) * (gamma / deviation),
                gamma_gradient,
                beta_gradient,
                *(ops.zeros_like(constant) for constant in (mean, deviation, weights, count)),
            )

        return activation(normalize(x, *parameters)), gradient

    return with_gradient(x, gamma, beta, mean, deviation, weights, count)
