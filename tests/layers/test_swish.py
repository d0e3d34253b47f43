import keras
import numpy as np
import pytest

from keras_contextnet.layers import Swish


def swish(x, beta):
    return x / (1 + np.exp(-beta * x.astype("float64")))


@pytest.mark.parametrize("learn_beta", [False, True])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_matches_the_formula(beta, learn_beta, rng):
    x = rng.normal(size=(2, 5, 3)).astype("float32") * 4
    layer = Swish(beta, learn_beta=learn_beta)
    np.testing.assert_allclose(layer(x), swish(x, beta), rtol=1e-5, atol=1e-6)
    assert layer.count_params() == int(learn_beta)
    assert len(layer.trainable_weights) == int(learn_beta)


def test_large_inputs_stay_finite():
    x = np.array([-1e4, -100.0, 100.0, 1e4], "float32")
    np.testing.assert_allclose(Swish()(x), [0, 0, 100, 1e4], atol=1e-6)


def test_learned_beta_moves_towards_the_target(rng):
    x = rng.normal(size=(64, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), Swish(learn_beta=True)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(x, swish(x, 2.0), epochs=15, batch_size=64, verbose=0)
    assert 1.5 < float(model.layers[0].beta) < 2.5
