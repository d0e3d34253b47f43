import keras
import numpy as np
import pytest
from keras import ops

from keras_contextnet.layers import MaskedBatchNormalization, Swish

EPSILON = 1e-3


@pytest.fixture
def batch(rng):
    x = (rng.normal(size=(3, 10, 4)) * 2 + 1).astype("float32")
    return x, np.arange(10) < np.array([[10], [7], [1]])


def build(shape, randomize, **arguments):
    layer = MaskedBatchNormalization(**arguments)
    layer.build(shape)
    return randomize(layer)


def normalize(x, gamma, beta, mean, variance):
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def test_inference_uses_the_moving_averages(batch, randomize, call):
    x, mask = batch
    layer = build(x.shape, randomize)
    expected = np.where(mask[..., None], normalize(x, *layer.get_weights()), 0)
    np.testing.assert_allclose(call(layer, x, mask=mask), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", [0.0, 1e30, np.inf, np.nan])
def test_training_uses_the_real_frames(padding, batch, randomize, call):
    x, mask = batch
    x[~mask] = padding
    layer = build(x.shape, randomize, momentum=0.8)
    gamma, beta, mean, variance = layer.get_weights()
    for _ in range(2):
        y = np.asarray(call(layer, x, mask=mask, training=True))
        frames = x[mask].astype("float64")  # (real frames, channels)
        mean = 0.8 * mean + 0.2 * frames.mean(axis=0)
        variance = 0.8 * variance + 0.2 * frames.var(axis=0)
    expected = normalize(frames, gamma, beta, frames.mean(axis=0), frames.var(axis=0))
    np.testing.assert_allclose(y[mask], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer.get_weights()[2], mean, rtol=1e-5)
    np.testing.assert_allclose(layer.get_weights()[3], variance, rtol=1e-5)


def test_padding_swallows_no_variance(rng, call):
    """Means of 30 deviations, three quarters of the frames padding."""
    x = (rng.normal(size=(4, 200, 4)) + 30).astype("float32")
    mask = np.arange(200) < np.array([[200], [0], [0], [1]])
    layer = MaskedBatchNormalization(momentum=0.0)
    layer.build(x.shape)
    call(layer, x, mask=mask, training=True)
    frames = x[mask].astype("float64")
    np.testing.assert_allclose(layer.get_weights()[3], frames.var(axis=0), rtol=1e-4)


def test_without_padding_it_is_keras_batch_norm(batch, randomize, call):
    x, _ = batch
    layer = build(x.shape, randomize)
    keras_layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=EPSILON)
    keras_layer.build(x.shape)
    keras_layer.set_weights(layer.get_weights())
    expected = np.asarray(call(keras_layer, x, training=True))
    for mask in ({}, {"mask": np.ones((3, 10), bool)}):
        fresh = build(x.shape, randomize)
        fresh.set_weights(layer.get_weights())
        y = call(fresh, x, training=True, **mask)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
        for ours, theirs in zip(fresh.get_weights(), keras_layer.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


ACTIVATIONS = {None: lambda x: x, "swish": lambda x: x / (1 + np.exp(-x)), "tanh": np.tanh}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("masked", [True, False])
def test_gradient_is_the_slope_of_the_formula(
    masked, activation, batch, rng, randomize, gradient, call
):
    """Against central differences of a float64 formula, through the statistics too."""
    x, mask = batch
    mask = mask if masked else np.ones_like(mask)
    layer = build(x.shape, randomize, activation=activation)
    gamma, beta, *moving = layer.get_weights()
    activate = ACTIVATIONS[activation]
    inferred = activate(normalize(x, gamma, beta, *moving))
    np.testing.assert_allclose(call(layer, x), inferred, rtol=1e-5, atol=1e-5)
    weights = (rng.normal(size=x.shape) * mask[..., None]).astype("float32")

    def total(x):
        frames = x[mask]
        y = activate(normalize(x, gamma, beta, frames.mean(axis=0), frames.var(axis=0)))
        return (y * weights).sum()

    expected, exact = np.zeros(x.shape), x.astype("float64")
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = 1e-5
        expected[index] = (total(exact + step) - total(exact - step)) / 2e-5
    actual = gradient(layer, x, mask if masked else None, weights, training=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("finite_padding", [True, False])
def test_padding_carries_no_gradient(finite_padding, batch, rng, randomize, gradient, call):
    """Nor do its values and their gradients change those of real frames."""
    x, mask = batch
    layer = build(x.shape, randomize, activation="swish")
    weights = rng.normal(size=x.shape).astype("float32")
    other_x, other_weights = x.copy(), weights.copy()
    other_x[~mask], other_weights[~mask] = 1e3, -1e3
    settings = {"training": True, "finite_padding": finite_padding}
    expected = gradient(layer, x, mask, weights, **settings)
    assert not expected[~mask].any()
    actual = gradient(layer, other_x, mask, other_weights, **settings)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    expected, actual = (np.asarray(call(layer, x, mask=mask, **settings)) for x in (x, other_x))
    np.testing.assert_allclose(actual[mask], expected[mask], rtol=1e-5, atol=1e-6)


def test_gamma_and_beta_learn(batch, randomize):
    """Gradient descent finds the scale and shift that a target was made with."""
    x, _ = batch
    frames = x.reshape(-1, 4)
    normal = (frames - frames.mean(axis=0)) / np.sqrt(frames.var(axis=0) + EPSILON)
    target = (normal * [0.5, 1.0, 2.0, 3.0] + [1.0, 0.0, -1.0, 2.0]).reshape(x.shape)
    model = keras.Sequential([keras.Input((None, 4)), MaskedBatchNormalization()])
    model.compile(keras.optimizers.SGD(1.5), "mse")
    model.fit(x, target, batch_size=3, epochs=12, verbose=0)
    gamma, beta = model.layers[0].get_weights()[:2]
    np.testing.assert_allclose(gamma, [0.5, 1.0, 2.0, 3.0], atol=1e-2)
    np.testing.assert_allclose(beta, [1.0, 0.0, -1.0, 2.0], atol=1e-2)


def test_an_activation_s_own_weights_learn(batch):
    x, _ = batch
    swish = Swish(beta=0.5, learn_beta=True)
    model = keras.Sequential([keras.Input((None, 4)), MaskedBatchNormalization(activation=swish)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, x, verbose=0)
    assert float(ops.convert_to_numpy(swish.beta)) != 0.5


def test_frozen_layer_keeps_its_averages(batch, randomize, call):
    x, mask = batch
    layer = build(x.shape, randomize)
    layer.trainable = False
    before = layer.get_weights()
    y = call(layer, x, mask=mask, training=True)
    expected = np.where(mask[..., None], normalize(x, *before), 0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_long_sequences_do_not_overflow_float16(rng, call):
    x = (rng.normal(size=(1, 5000, 2)) * 300 + 200).astype("float16")  # squares pass 65,504
    layer = MaskedBatchNormalization(momentum=0.0, dtype="mixed_float16")
    layer.build(x.shape)
    y = np.asarray(call(layer, x, mask=np.ones((1, 5000), bool), training=True), "float32")
    exact = x.astype("float64")[0]
    np.testing.assert_allclose(layer.get_weights()[2], exact.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.get_weights()[3], exact.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(y[0], (exact - exact.mean(axis=0)) / exact.std(axis=0), atol=5e-3)


def test_batch_of_padding_alone_stays_finite(batch, randomize, call):
    x, _ = batch
    layer = build(x.shape, randomize)
    call(layer, x, mask=np.zeros((3, 10), bool), training=True)
    assert all(np.isfinite(w).all() for w in layer.get_weights())


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_errors_name_the_argument(momentum):
    message = rf"Expected `momentum` in \[0, 1\)\. Received: momentum={momentum}"
    with pytest.raises(ValueError, match=message):
        MaskedBatchNormalization(momentum=momentum)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 3e38])
def test_moving_averages_take_nothing_that_is_not_finite(poison, batch, randomize, call):
    """A broken recording spoils one batch, not the model; sound channels go on learning."""
    x, mask = batch
    layer, sound = build(x.shape, randomize), MaskedBatchNormalization()
    sound.build(x.shape)
    sound.set_weights(layer.get_weights())
    before = layer.get_weights()
    call(sound, x, mask=mask, training=True)
    x[0, 2:4, 1] = poison
    call(layer, x, mask=mask, training=True)
    others = [0, 2, 3]
    for kept, updated, expected in zip(
        before[2:], layer.get_weights()[2:], sound.get_weights()[2:], strict=True
    ):
        assert updated[1] == kept[1]
        np.testing.assert_array_equal(updated[others], expected[others])
        assert (updated[others] != kept[others]).all()
