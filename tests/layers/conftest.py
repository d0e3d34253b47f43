"""Helpers of the layers' tests, as fixtures that return functions."""

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly():
    """Layers this small take JAX longer to optimize than to run."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def randomize(rng):
    """Gives every weight of a built layer a random value, variances a positive one."""

    def randomize(layer):
        for weight in layer.weights:
            if weight.dtype != "float32":  # the state of a random generator
                continue
            value = rng.normal(size=weight.shape)
            weight.assign(np.abs(value) + 0.5 if weight.name == "moving_variance" else value)
        return layer

    return randomize


@pytest.fixture(scope="module")
def stateless():
    """Makes a function of a built layer, from its variables' values to outputs and new values.

    `Layer.stateless_call` would leave out what `__call__` does, autocasting among it.
    """

    def stateless(layer, **static):
        def function(values, inputs, arguments):
            variables = zip(layer.variables, values, strict=True)
            with keras.StatelessScope(state_mapping=variables) as scope:
                outputs = layer(inputs, **arguments, **static)
            return outputs, [scope.get_current_value(v) for v in layer.variables]

        return function

    return stateless


@pytest.fixture(scope="module")
def call(stateless):
    """Calls a built layer or model; under JAX compiled, as op by op takes minutes to compile."""
    functions = {}

    def call(layer, inputs, **arguments):
        if keras.backend.backend() != "jax":
            return layer(inputs, **arguments)
        if not layer.built:
            layer.build(inputs.shape)
        import jax

        static = {name: v for name, v in arguments.items() if isinstance(v, bool)}
        tensors = {name: v for name, v in arguments.items() if name not in static}
        key = (layer, *static.items())
        if key not in functions:
            functions[key] = jax.jit(stateless(layer, **static))
        outputs, values = functions[key]([v.value for v in layer.variables], inputs, tensors)
        for variable, value in zip(layer.variables, values, strict=True):
            variable.assign(value)
        return outputs

    return call


@pytest.fixture
def output_shape(stateless):
    """Shape of what a built layer gives; JAX need not compute it."""

    def output_shape(layer, inputs):
        if keras.backend.backend() != "jax":
            return tuple(layer(inputs).shape)
        import jax

        values = [v.value for v in layer.variables]
        return jax.eval_shape(stateless(layer), values, inputs, {})[0].shape

    return output_shape


@pytest.fixture
def gradient(stateless):
    """Gradient of sum(weights * layer(inputs, mask)) with respect to the inputs."""

    def gradient(layer, inputs, mask, weights, **arguments):
        if keras.backend.backend() == "jax":
            import jax

            call = stateless(layer, **arguments)
            values = [v.value for v in layer.variables]

            def total(x):
                return (call(values, x, {"mask": mask})[0] * weights).sum()

            return np.asarray(jax.jit(jax.grad(total))(inputs))
        import tensorflow as tf

        inputs = tf.constant(inputs)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(layer(inputs, mask=mask, **arguments) * weights)
        return tape.gradient(total, inputs).numpy()

    return gradient


@pytest.fixture
def graph():
    """Makes a TensorFlow graph of a built layer, with batch and time unknown."""

    def graph(layer, inputs):
        import tensorflow as tf

        signature = [
            tf.TensorSpec((None, None, *inputs.shape[2:])),
            tf.TensorSpec((None, None), "bool"),
        ]
        return tf.function(lambda x, mask: layer(x, mask=mask), input_signature=signature)

    return graph


@pytest.fixture
def assert_causal(call):
    """Output frames up to t // strides stay as they are when frames after t change."""

    def assert_causal(layer, inputs, strides=1):
        layer.build(inputs.shape)
        before = keras.ops.convert_to_numpy(call(layer, inputs))
        for t in (0, 1, inputs.shape[1] // 2, inputs.shape[1] - 2):
            changed = inputs.copy()
            changed[:, t + 1 :] = changed[:, t + 1 :] * -3 + 1
            after = keras.ops.convert_to_numpy(call(layer, changed))
            known = t // strides + 1
            np.testing.assert_allclose(after[:, :known], before[:, :known], rtol=0, atol=1e-6)
            assert np.abs(after[:, known:] - before[:, known:]).max(initial=1) > 1e-3

    return assert_causal
