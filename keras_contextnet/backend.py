"""Operations that backends have of their own, and keras.ops has not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import keras
from keras import ops


def uses_tensorflow_kernels() -> bool:
    """Whether each operation runs by a TensorFlow kernel of its own, not fused by a compiler."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return tf.executing_eagerly() or not GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def on_accelerator() -> bool:
    """Whether there is a GPU or TPU that the backend computes on."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
    import torch

    return torch.cuda.is_available()


def log_sum_exp(logits: Any, softmax: Any = None) -> Any:
    """Log of the sum of the last axis's exponentials; from their softmax where there is one."""
    if softmax is None and not uses_tensorflow_kernels():
        return ops.logsumexp(logits, axis=-1)
    if softmax is None:
        # One kernel does the whole softmax; a log-sum-exp takes four passes, each over new memory.
        softmax = ops.softmax(logits, axis=-1)
    return ops.max(logits, axis=-1) - ops.log(ops.max(softmax, axis=-1))


def custom_gradient(function: Callable) -> Callable:
    """`keras.ops.custom_gradient`, whose gradient gets one argument for each output everywhere.

    Keras passes them by position under TensorFlow, as a tuple under JAX, and one by name. What is
    made of `function` can be called with `constants` besides: tensors that it gets after the others
    and returns no gradient for.
    """

    @wraps(function)
    def call(*inputs: Any, constants: Sequence[Any] = ()) -> Any:
        # TensorFlow makes zeros for each input of a custom gradient. JAX asks for all by name.
        named = tuple(constants) if keras.backend.backend() == "jax" else ()
        others = () if named else tuple(constants)

        @ops.custom_gradient
        def with_gradient(*tensors: Any) -> Any:
            outputs, gradient = function(*tensors, *others)

            def gradient_of_each(*args: Any, upstream: Any = None) -> Any:
                if upstream is not None:
                    args = upstream if isinstance(upstream, (tuple, list)) else (upstream,)
                elif len(args) == 1 and isinstance(args[0], (tuple, list)):
                    (args,) = args
                grads = gradient(*args)
                return (*grads, *map(ops.zeros_like, named)) if named else grads

            return outputs, gradient_of_each

        return with_gradient(*inputs, *named)

    return call


def as_tensor(variable: Any) -> Any:
    """The value of a Keras variable as what custom gradients take, a tensor on every backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(variable)
    return ops.convert_to_tensor(variable)


def pull_back(function: Callable, inputs: Sequence[Any], upstream_of: Callable) -> tuple[Any, ...]:
    """Gradients of `function(*inputs)`, given its output's, `upstream_of(output)`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = function(*inputs)
        return tape.gradient(
            output,
            list(inputs),
            output_gradients=upstream_of(output),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
    if keras.backend.backend() == "jax":
        from jax import vjp
    else:
        from torch.func import vjp
    output, gradient = vjp(function, *inputs)
    return gradient(upstream_of(output))


def loop(steps: Any, body: Callable, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """`state = body(i, *state)` for each `i` below `steps`, one after the other."""

    def proceeds(i: Any, *state: Any) -> Any:
        return i < steps

    def step(i: Any, *state: Any) -> Any:
        return (i + 1, *body(i, *state))

    start = (ops.zeros((), "int32"), *state)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # By itself it would start several steps at once, each with its own temporary memory.
        return tf.while_loop(proceeds, step, start, parallel_iterations=1)[1:]
    return ops.while_loop(proceeds, step, start)[1:]


def traced(function: Callable) -> Callable:
    """Runs a function of tensors as one graph where TensorFlow would run it eagerly.

    Its loops over a lattice's diagonals are thousands of small operations.
    """
    graph = None

    @wraps(function)
    def run(*tensors: Any) -> Any:
        nonlocal graph
        if keras.backend.backend() != "tensorflow":
            return function(*tensors)
        import tensorflow as tf

        if not tf.executing_eagerly():
            return function(*tensors)
        if graph is None:
            graph = tf.function(function, reduce_retracing=True, autograph=False)
        return graph(*tensors)

    return run


def multiply_no_nan(values: Any, factor: Any) -> Any:
    """`values * factor`, and 0 wherever `factor` is, even against NaN or infinity."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # In place where `values` are not needed any more, which a `where` never is.
        return tf.math.multiply_no_nan(values, factor)
    zero = ops.zeros((), values.dtype)
    return ops.where(ops.equal(factor, 0), zero, values * factor)


def sigmoid_gradient(output: Any, upstream: Any) -> Any:
    """`upstream * output * (1 - output)`, the gradient of what a sigmoid has made `output` of."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.raw_ops.SigmoidGrad(y=output, dy=upstream)  # one pass instead of three
    return upstream * output * (1 - output)


def sum_rows(rows: Any, weights: Any | None = None) -> Any:
    """Sums `weights * rows`.

    Args:
        rows: Tensor (rows, channels), finite where the weight is 0 too.
        weights: Tensor (rows, 1), or None for weights of 1.

    Returns:
        A tensor (channels,).
    """
    if weights is None:
        return ops.sum(rows, axis=0)
    if keras.backend.backend() == "tensorflow" and not on_accelerator():
        import tensorflow as tf

        # One pass over memory, the product of a vector and a matrix, in half the time of a sum.
        return tf.squeeze(tf.matmul(weights, rows, transpose_a=True), axis=0)
    return ops.sum(weights * rows, axis=0)


def square_deviations(x: Any, mean: Any) -> Any:
    """`(x - mean)**2`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.math.squared_difference(x, mean)  # one pass over memory instead of two
    return ops.square(x - mean)


def once_in_graph(make: Callable) -> Callable:
    """Has `make(tensor, *settings)` add its operators once to a graph that TensorFlow traces.

    What a hundred layers make of one mask would be a tenth of the operators that a training step
    consists of, each of which takes time to trace and to optimise.
    """

    @wraps(make)
    def made(tensor: Any, *settings: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return make(tensor, *settings)
        import tensorflow as tf

        if tf.executing_eagerly() or not tf.is_symbolic_tensor(tensor):
            return make(tensor, *settings)
        graph = tf.compat.v1.get_default_graph()
        key = f"_{make.__name__}_{settings}"
        of_graph, value = getattr(tensor, key, (None, None))
        if of_graph is not graph:
            value = make(tensor, *settings)
            setattr(tensor, key, (graph, value))
        return value

    return made


def add_at(values: Any, index: Any, updates: Any) -> Any:
    """Adds to entries, or to rows, of a tensor; in place where TensorFlow's kernels can.

    Args:
        values: Tensor (rows, columns).
        index: Int tensor (updates, 2), row and column, or (updates, 1), rows. They may repeat.
        updates: Tensor (updates,), or (updates, columns).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not uses_tensorflow_kernels():
            return tf.tensor_scatter_nd_add(values, index, updates)
        # The one of TensorFlow's scatters that reuses the memory of its first argument.
        return tf.raw_ops.ScatterNdNonAliasingAdd(input=values, indices=index, updates=updates)
    place = tuple(index[:, axis] for axis in range(index.shape[1]))
    if keras.backend.backend() == "jax":
        return values.at[place].add(updates)
    return values.index_put(place, updates, accumulate=True)
