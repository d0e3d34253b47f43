"""Helpers of the layers' tests, as fixtures that return functions."""

import keras
import numpy as np
import pytest


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


@pytest.fixture
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


@pytest.fixture
def call(stateless):
    """Calls a built layer or model; under JAX compiled, as op by op takes minutes to compile."""
    functions = {}

    def call(layer, inputs, **arguments):
        if keras.backend.backend() != "jax":
            return layer(inputs, **arguments)
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
def compiled(stateless):
    """Compiles a built layer: a tf.function of unknown sizes, or jax.jit."""

    def compiled(layer, inputs, **arguments):
        if keras.backend.backend() == "jax":
            import jax

            call = stateless(layer, **arguments)
            values = [v.value for v in layer.variables]
            return jax.jit(lambda x, mask: call(values, x, {"mask": mask})[0])
        import tensorflow as tf

        features = inputs.shape[2:]
        return tf.function(
            lambda x, mask: layer(x, mask=mask, **arguments),
            input_signature=[
                tf.TensorSpec((None, None, *features)),
                tf.TensorSpec((None, None), "bool"),
            ],
        )

    return compiled


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
