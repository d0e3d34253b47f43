"""Values and gradients on whichever backend the tests run."""

import contextlib

import keras
import numpy as np
import pytest


def _value_and_gradient_tensorflow(function, x, mode):
    import tensorflow as tf

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
            total = tf.reduce_sum(value)
        return value, tape.gradient(total, x)

    if mode == "graph":
        # Every dimension but the vocabulary dynamic.
        spec = tf.TensorSpec([None] * (x.ndim - 1) + [x.shape[-1]], x.dtype)
        step = tf.function(step, input_signature=[spec])
    elif mode == "compiled":
        step = tf.function(step, jit_compile=True)
    return step(tf.constant(x))


def _value_and_gradient_jax(function, x, mode):
    import jax
    import jax.numpy as jnp

    def step(x):
        def total(x):
            value = function(x)
            return jnp.sum(value), value

        gradient, value = jax.grad(total, has_aux=True)(x)
        return value, gradient

    return (step if mode == "eager" else jax.jit(step))(jnp.asarray(x))


@pytest.fixture(scope="session")
def value_and_gradient():
    """`f(function, x, mode)`: function(x), and the gradient of its sum, as NumPy arrays.

    `mode` is "eager", "graph" (dynamic shapes under TensorFlow) or "compiled" (XLA). JAX compiles
    every operation it runs eagerly, so that there whole functions are faster.
    """
    run = {"tensorflow": _value_and_gradient_tensorflow, "jax": _value_and_gradient_jax}
    run = run[keras.backend.backend()]

    usual_mode = "eager" if keras.backend.backend() == "tensorflow" else "compiled"

    def value_and_gradient(function, x, mode=usual_mode):
        x = np.asarray(x)
        with float64() if x.dtype == np.float64 else contextlib.nullcontext():
            value, gradient = run(function, x, mode)
            return np.asarray(value), np.asarray(gradient)

    return value_and_gradient


@contextlib.contextmanager
def float64():
    """JAX has float64 only where it is asked for."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", False)
