import numpy as np
import pytest

from keras_contextnet.layers import PointwiseConvNorm


@pytest.mark.parametrize("time", [8, 9])
@pytest.mark.parametrize("strides", [1, 2])
def test_matches_a_product_and_a_batch_norm(strides, time, rng, randomize, call):
    x = rng.normal(size=(2, time, 3)).astype("float32")
    layer = PointwiseConvNorm(4, strides=strides)
    layer.build(x.shape)
    kernel, gamma, beta, mean, variance = randomize(layer).get_weights()
    expected = np.array([[x[b, t] @ kernel for t in range(0, time, strides)] for b in range(2)])
    expected = gamma * (expected - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(call(layer, x), expected, rtol=1e-5, atol=1e-5)


def test_training_statistics_are_those_of_the_real_frames(rng, randomize, call):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    mask = np.arange(9) < np.array([[9], [4]])
    layer = PointwiseConvNorm(4, strides=2, batch_norm_momentum=0.0)
    layer.build(x.shape)
    kernel = randomize(layer).get_weights()[0]
    call(layer, x, mask=mask, training=True)
    frames = np.concatenate([x[0, ::2], x[1, :4:2]]) @ kernel
    np.testing.assert_allclose(layer.get_weights()[-2], frames.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.get_weights()[-1], frames.var(axis=0), rtol=1e-5)


def test_parameter_count_has_no_bias():
    layer = PointwiseConvNorm(7)
    layer.build((None, None, 6))
    assert layer.count_params() == 6 * 7 + 4 * 7
