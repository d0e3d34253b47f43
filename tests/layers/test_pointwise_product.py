import keras
import numpy as np
import pytest

from keras_contextnet.layers import SeparableConvBlock, set_product_dtype
from keras_contextnet.layers import pointwise_product as module
from keras_contextnet.layers.pointwise_product import pointwise_product


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(3, 7, 4), (1, 1, 4), (2, 0, 4), (0, 5, 4)])
def test_every_frame_is_multiplied(shape, training):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=shape).astype("float32"), rng.normal(size=(4, 5)).astype("float32")
    y = np.asarray(pointwise_product(x, kernel, training))
    assert y.shape == (*shape[:2], 5)
    np.testing.assert_allclose(y, np.tensordot(x, kernel, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_sizes_that_are_not_known_yet(training):
    class Product(keras.layers.Layer):
        def call(self, inputs):
            return pointwise_product(inputs, np.ones((4, 5), "float32"), training)

        def compute_output_shape(self, input_shape):
            return (*input_shape[:2], 5)

    inputs = keras.Input((None, 4))
    outputs = Product()(inputs)
    assert outputs.shape == (None, None, 5)
    model = keras.Model(inputs, outputs)
    np.testing.assert_array_equal(
        model.predict(np.ones((2, 3, 4)), verbose=0), np.full((2, 3, 5), 4.0)
    )


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("training", [False, True])
def test_the_gradient(training):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x, kernel, upstream = (
        tf.constant(rng.normal(size=size), tf.float32) for size in ((3, 7, 4), (4, 5), (3, 7, 5))
    )
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        total = tf.reduce_sum(pointwise_product(x, kernel, training) * upstream)
    of_x, of_kernel = tape.gradient(total, [x, kernel])
    # A sum of n products is within n roundings of their magnitudes (Higham, Accuracy and Stability
    # of Numerical Algorithms, section 3.1): relative to the sum, cancellation has no bound.
    a, b = np.asarray(upstream, "float64"), np.asarray(kernel, "float64").T
    assert np.all(np.abs(of_x - a @ b) <= 5 * 2**-24 / (1 - 5 * 2**-24) * (np.abs(a) @ np.abs(b)))
    np.testing.assert_allclose(
        of_kernel, np.einsum("btc,btf->cf", x, upstream), rtol=1e-4, atol=1e-5
    )


def bfloat16(x):
    """Rounds to the 8 significant bits that bfloat16 has."""
    mantissa, exponent = np.frexp(x.astype("float64"))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def test_training_multiplies_rounded_numbers_when_asked_to(bfloat16_products):
    assert_products_are_rounded()


def test_they_are_rounded_where_the_backend_would_cut_them(monkeypatch, request):
    monkeypatch.setattr(module, "_cuts_bfloat16", lambda: True)
    request.getfixturevalue("bfloat16_products")
    assert_products_are_rounded()


def assert_products_are_rounded():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 9, 64)).astype("f4"), rng.normal(size=(64, 7)).astype("f4")
    exact = x.astype("float64") @ kernel
    np.testing.assert_allclose(pointwise_product(x, kernel, False), exact, rtol=1e-5, atol=1e-5)
    trained = np.asarray(pointwise_product(x, kernel, True))
    assert trained.dtype == np.float32
    rounded = bfloat16(x) @ bfloat16(kernel)
    np.testing.assert_allclose(trained, rounded, rtol=2**-8, atol=1e-4)
    assert np.abs(trained - exact).max() > 1e-3


def test_layers_give_float32_and_float32_gradients(bfloat16_products):
    layer = SeparableConvBlock(8)
    x = np.random.default_rng(0).normal(size=(2, 9, 4)).astype("f4")
    model = keras.Sequential([keras.Input((None, 4)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = layer.get_weights()[1]
    model.fit(x, np.ones((2, 9, 8), "f4"), verbose=0)
    assert np.abs(layer.get_weights()[1] - before).max() > 0
    assert keras.backend.standardize_dtype(layer(x, training=True).dtype) == "float32"


def test_setting_the_dtype_computes_nothing(monkeypatch, request):
    """Who does so before setting TensorFlow's threads or making a strategy, may still do that."""
    monkeypatch.setattr(module, "_cuts_bfloat16", lambda: pytest.fail("the backend was asked"))
    request.getfixturevalue("bfloat16_products")


def test_refuses_other_dtypes():
    with pytest.raises(ValueError, match="float16"):
        set_product_dtype("float16")
