import numpy as np
import pytest

from keras_contextnet.layers.depthwise_conv import depthwise_conv


def reference(x, kernel, strides, before):
    """Output i of channel c: sum over k of kernel[k, c] * x[i * strides - before + k, c]."""
    batch, time, channels = x.shape
    y = np.zeros((batch, -(-time // strides), channels))
    for i in range(y.shape[1]):
        for k in range(len(kernel)):
            t = i * strides - before + k
            if 0 <= t < time:
                y[:, i] += x[:, t].astype("float64") * kernel[k]
    return y


@pytest.mark.parametrize("time", [1, 8, 9])
@pytest.mark.parametrize(
    ("taps", "strides", "before"),
    [(5, 1, 2), (5, 2, 2), (5, 1, 4), (4, 3, 3), (1, 1, 0), (1, 2, 0)],
)
def test_matches_the_sum(taps, strides, before, time, rng):
    x = rng.normal(size=(2, time, 3)).astype("float32")
    kernel = rng.normal(size=(taps, 3)).astype("float32")
    y = depthwise_conv(x, kernel, strides, before)
    np.testing.assert_allclose(y, reference(x, kernel, strides, before), rtol=1e-5, atol=1e-5)


def test_channels_do_not_mix(rng):
    x = np.zeros((1, 9, 4), "float32")
    x[..., 2] = rng.normal(size=9)
    y = np.asarray(depthwise_conv(x, rng.normal(size=(5, 4)).astype("float32"), 1, 2))
    assert (y[..., [0, 1, 3]] == 0).all()
    assert (y[..., 2] != 0).all()
