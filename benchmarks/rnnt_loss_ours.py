"""keras-contextnet's losses, as `rnnt_loss_measure.py` runs them.

An adapter takes the inputs as arrays and returns two functions: `fresh`, not timed, gives the
arguments of `step`, which returns the costs and the gradients of their sum.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

Adapter = tuple[Callable[[], Any], Callable[[Any], tuple[Any, list[Any]]]]


def logits_tensorflow(inputs: dict[str, Any], mode: str = "graph", dtype: str = "") -> Adapter:
    """`mode` is one of graph, xla, eager and dynamic (a graph for any shape)."""
    import tensorflow as tf

    from keras_contextnet.losses import rnnt_loss

    arguments = (
        tf.cast(inputs["logits"], dtype or "float32"),
        tf.constant(inputs["labels"]),
        tf.constant(inputs["label_length"]),
        tf.constant(inputs["frame_length"]),
    )

    def costs_and_gradient(logits, labels, label_length, frame_length):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            costs = rnnt_loss(labels, logits, label_length, frame_length)
            total = tf.reduce_sum(costs)
        return costs, [tape.gradient(total, logits)]

    if mode == "dynamic":
        vocabulary = arguments[0].shape[-1]
        signature = [
            tf.TensorSpec((None, None, None, vocabulary), arguments[0].dtype),
            tf.TensorSpec((None, None), "int32"),
            tf.TensorSpec((None,), "int32"),
            tf.TensorSpec((None,), "int32"),
        ]
        costs_and_gradient = tf.function(costs_and_gradient, input_signature=signature)
    elif mode != "eager":
        costs_and_gradient = tf.function(costs_and_gradient, jit_compile=mode == "xla")
    return lambda: arguments, lambda arguments: costs_and_gradient(*arguments)


def logits_jax(inputs: dict[str, Any]) -> Adapter:
    import jax
    import jax.numpy as jnp

    from keras_contextnet.losses import rnnt_loss

    arguments = (
        jnp.asarray(inputs["logits"]),
        jnp.asarray(inputs["labels"]),
        jnp.asarray(inputs["label_length"]),
        jnp.asarray(inputs["frame_length"]),
    )

    def total(logits, labels, label_length, frame_length):
        costs = rnnt_loss(labels, logits, label_length, frame_length)
        return jnp.sum(costs), costs

    costs_and_gradient = jax.jit(jax.value_and_grad(total, has_aux=True))

    def step(arguments):
        (_, costs), gradient = jax.block_until_ready(costs_and_gradient(*arguments))
        return costs, [gradient]

    return lambda: arguments, step


def joint_tensorflow(
    inputs: dict[str, Any], loss: str, dtype: str = "float32", negligible: float = 1e-9
) -> Adapter:
    """`loss` is materialised, fused or pruned; `dtype` is the joiner's dtype policy."""
    import tensorflow as tf

    import keras_contextnet

    encoder_output, predictor_output = inputs["encoder_output"], inputs["predictor_output"]
    joiner = keras_contextnet.Joiner(
        vocabulary_size=inputs["weights"][-1].size, units=encoder_output.shape[-1], dtype=dtype
    )
    joiner.build(encoder_output.shape, predictor_output.shape)
    joiner.set_weights(inputs["weights"])
    weights = [variable.value for variable in joiner.trainable_variables]
    compute_costs = {
        "materialised": _materialised,
        "fused": functools.partial(_fused, negligible),
    }.get(loss)
    if loss == "pruned":
        simple_joiner = _simple_joiner(inputs, dtype)
        weights += [variable.value for variable in simple_joiner.trainable_variables]
        compute_costs = functools.partial(_pruned, simple_joiner)
    input_dtype = "float64" if dtype == "float64" else "float32"
    arguments = (
        tf.cast(encoder_output, input_dtype),
        tf.cast(predictor_output, input_dtype),
        tf.constant(inputs["labels"]),
        tf.constant(inputs["label_length"]),
        tf.constant(inputs["frame_length"]),
    )

    @tf.function
    def costs_and_gradients(encoder_output, predictor_output, *labels_and_lengths):
        sources = [encoder_output, predictor_output, *weights]
        with tf.GradientTape() as tape:
            tape.watch(sources[:2])
            # (losses, batch), first the one to compare
            costs = compute_costs(joiner, encoder_output, predictor_output, *labels_and_lengths)
            total = tf.reduce_sum(costs)
        return costs[0], tape.gradient(total, sources)

    return lambda: arguments, lambda arguments: costs_and_gradients(*arguments)


def _materialised(joiner, encoder_output, predictor_output, labels, label_length, frame_length):
    from keras_contextnet.losses import rnnt_loss

    logits = joiner(encoder_output, predictor_output)
    return [rnnt_loss(labels, logits, label_length, frame_length)]


def _fused(
    negligible, joiner, encoder_output, predictor_output, labels, label_length, frame_length
):
    from keras_contextnet.losses import joint_rnnt_loss

    costs = joint_rnnt_loss(
        encoder_output, predictor_output, joiner, labels, label_length, frame_length,
        negligible=negligible,
    )  # fmt: skip
    return [costs]


def _simple_joiner(inputs, dtype):
    from keras_contextnet.models import SimpleJoiner

    kernels = inputs["simple_weights"]
    simple_joiner = SimpleJoiner(kernels[0].shape[1], dtype=dtype)
    simple_joiner.build(inputs["encoder_output"].shape, inputs["predictor_output"].shape)
    no_bias = np.zeros(kernels[0].shape[1])
    simple_joiner.set_weights([kernels[0], no_bias, kernels[1], no_bias])
    return simple_joiner


def _pruned(
    simple_joiner, joiner, encoder_output, predictor_output, labels, label_length, frame_length
):
    """The simple loss finds five columns of each frame, and the joint is made for those only."""
    from keras_contextnet.losses import joint_rnnt_loss, pruning_bounds, rnnt_loss_simple

    simple, occupancy = rnnt_loss_simple(
        labels,
        *simple_joiner(encoder_output, predictor_output),
        label_length,
        frame_length,
        return_occupancy=True,
    )
    bounds = pruning_bounds(*occupancy, label_length, frame_length, prune_range=5)
    pruned = joint_rnnt_loss(
        encoder_output, predictor_output, joiner, labels, label_length, frame_length,
        negligible=1e-6, bounds=bounds, prune_range=5,
    )  # fmt: skip
    return [pruned, simple]
