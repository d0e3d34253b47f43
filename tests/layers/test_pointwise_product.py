import keras
import numpy as np
import pytest

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
    np.testing.assert_allclose(of_x, np.einsum("btf,cf->btc", upstream, kernel), rtol=1e-5)
    np.testing.assert_allclose(
        of_kernel, np.einsum("btc,btf->cf", x, upstream), rtol=1e-4, atol=1e-5
    )
