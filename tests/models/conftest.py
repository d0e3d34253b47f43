"""Batches for small models, and calls that are compiled where that is what costs least."""

import keras
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def call():
    """Calls a built layer or model; under JAX compiled, as op by op takes minutes to compile."""

    def call(layer, *inputs, **arguments):
        if keras.backend.backend() != "jax":
            return layer(*inputs, **arguments)
        import jax

        static = {name: v for name, v in arguments.items() if isinstance(v, bool)}
        tensors = {name: v for name, v in arguments.items() if name not in static}

        def function(values, inputs, tensors):
            mapping = zip(layer.variables, values, strict=True)
            with keras.StatelessScope(state_mapping=mapping) as scope:
                outputs = layer(*inputs, **tensors, **static)
            return outputs, [scope.get_current_value(v) for v in layer.variables]

        values = [variable.value for variable in layer.variables]
        outputs, values = jax.jit(function)(values, inputs, tensors)
        for variable, value in zip(layer.variables, values, strict=True):
            variable.assign(value)
        return outputs

    return call


@pytest.fixture
def batch(rng):
    """Two utterances, the second padded with noise, and their targets."""
    x = {
        "audio": rng.normal(size=(2, 4000)).astype("float32"),
        "audio_length": np.array([4000, 2500], "int32"),
    }
    y = {
        "tokens": np.array([[8, 9, 0], [20, 0, 0]], "int32"),
        "token_length": np.array([3, 1], "int32"),
    }
    return x, y
