import keras
import numpy as np
import pytest

from keras_contextnet.layers import MaskedBatchNormalization, Swish
from keras_contextnet.layers.normalized_product import normalized_product


class NormalizedProduct(keras.layers.Layer):
    def __init__(self, activation, frozen):
        super().__init__()
        self.batch_norm = MaskedBatchNormalization(activation=activation)
        self.frozen = frozen
        self.supports_masking = True

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4))
        self.batch_norm.build((*input_shape[:-1], 4))
        self.batch_norm.trainable = not self.frozen

    def call(self, inputs, mask=None, training=False):
        return normalized_product(inputs, self.kernel, self.batch_norm, mask, training)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("has_weights", [True, False])
def test_matches_a_product_and_a_batch_norm(
    has_weights, training, frozen, masked, rng, randomize, call
):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    mask = np.arange(9) < np.array([[9], [4]])
    activation = Swish(beta=2.0, learn_beta=True) if has_weights else "swish"
    layer = NormalizedProduct(activation, frozen)
    layer.build(x.shape)
    randomize(layer)
    if has_weights:
        activation.build(x.shape)
    kernel = np.asarray(layer.kernel)
    gamma, beta = (np.asarray(v) for v in (layer.batch_norm.gamma, layer.batch_norm.beta))
    product = x.astype("float64") @ kernel
    if training and not frozen:
        frames = product[mask] if masked else product.reshape(-1, 4)
        mean, variance = frames.mean(axis=0), frames.var(axis=0)
    else:
        moving = layer.batch_norm.moving_mean, layer.batch_norm.moving_variance
        mean, variance = (np.asarray(v, "float64") for v in moving)
    expected = gamma * (product - mean) / np.sqrt(variance + 1e-3) + beta
    expected /= 1 + np.exp(-expected * (2 if has_weights else 1))
    if masked:
        expected[~mask] = 0
    arguments = {"mask": mask} if masked else {}
    y = call(layer, x, training=training, **arguments)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
