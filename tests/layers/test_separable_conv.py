import keras
import numpy as np
import pytest

from keras_contextnet.layers import SeparableConvBlock


def separable_conv(x, depthwise, pointwise, strides, before):
    """One utterance (time, in), frame by frame, tap by tap, with zeros around it."""
    rows = []
    for centre in range(0, len(x), strides):
        row = np.zeros(x.shape[1])
        for k in range(len(depthwise)):
            if 0 <= centre - before + k < len(x):
                row += depthwise[k] * x[centre - before + k]
        rows.append(row @ pointwise)
    return np.array(rows)


def batch_norm_swish(x, gamma, beta, mean, variance):
    x = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
    return x / (1 + np.exp(-x))


@pytest.fixture
def utterances(rng):
    return [rng.normal(size=(length, 3)).astype("float32") for length in (11, 6)]


@pytest.fixture
def batch(utterances):
    x = np.full((2, 13, 3), 77.0, "float32")
    for row, utterance in zip(x, utterances, strict=True):
        row[: len(utterance)] = utterance
    return x, np.arange(13) < np.array([[len(u)] for u in utterances])


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel_size", "padding", "before"), [(5, "same", 2), (1, "same", 0), (4, "causal", 3)]
)
def test_matches_the_paper(
    kernel_size, padding, before, strides, batch, utterances, call, randomize
):
    x, mask = batch
    layer = SeparableConvBlock(4, kernel_size, strides, padding)
    layer.build(x.shape)
    depthwise, pointwise, *norm = randomize(layer).get_weights()
    y = np.asarray(call(layer, x, mask=mask))
    for row, utterance in zip(y, utterances, strict=True):
        convolved = separable_conv(utterance, depthwise, pointwise, strides, before)
        expected = batch_norm_swish(convolved, *norm)
        np.testing.assert_allclose(row[: len(expected)], expected, rtol=1e-5, atol=1e-5)


def test_training_statistics_are_those_of_the_real_frames(batch, utterances, call, randomize):
    x, mask = batch
    layer = SeparableConvBlock(4, strides=2, batch_norm_momentum=0.75)
    layer.build(x.shape)
    depthwise, pointwise, gamma, beta, mean, variance = randomize(layer).get_weights()
    y = np.asarray(call(layer, x, mask=mask, training=True))
    rows = [separable_conv(u, depthwise, pointwise, 2, 2) for u in utterances]
    frames = np.concatenate(rows)
    expected = batch_norm_swish(frames, gamma, beta, frames.mean(axis=0), frames.var(axis=0))
    np.testing.assert_allclose(y[mask[:, ::2]], expected, rtol=1e-4, atol=1e-5)
    moving_mean, moving_variance = layer.get_weights()[-2:]
    np.testing.assert_allclose(moving_mean, 0.75 * mean + 0.25 * frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        moving_variance, 0.75 * variance + 0.25 * frames.var(axis=0), rtol=1e-5
    )


@pytest.mark.parametrize("time", [8, 9])
def test_frame_i_looks_at_frame_i_times_stride(time, call):
    """Also where the length is even, for which a framework's "same" shifts by a frame."""
    layer = SeparableConvBlock(1, 5, 2, activation=None, use_batch_norm=False)
    layer.build((1, time, 1))
    middle_tap = np.array([[0.0], [0.0], [1.0], [0.0], [0.0]])
    layer.set_weights([middle_tap, np.ones((1, 1)), np.zeros(1)])
    x = np.arange(1.0, time + 1, dtype="float32").reshape(1, time, 1)
    np.testing.assert_array_equal(call(layer, x), x[:, ::2])


@pytest.mark.parametrize(("kernel_size", "strides"), [(5, 1), (5, 2), (2, 1)])
def test_causal_sees_no_later_frame(kernel_size, strides, rng, assert_causal):
    x = rng.normal(size=(1, 12, 3)).astype("float32")
    assert_causal(SeparableConvBlock(4, kernel_size, strides, padding="causal"), x, strides)


def test_weights_of_the_worked_example():
    """9 taps from 2 to 4 channels: 72 weights dense, 26 separable."""
    dense = keras.layers.Conv1D(4, 9, use_bias=False)
    dense.build((None, None, 2))
    separable = SeparableConvBlock(4, kernel_size=9)
    separable.build((None, None, 2))
    kernels = separable.depthwise_kernel.shape, separable.pointwise_kernel.shape
    assert dense.count_params() == 72
    assert sum(int(np.prod(shape)) for shape in kernels) == 26


@pytest.mark.parametrize(("use_batch_norm", "rest"), [(True, 4 * 7), (False, 7)])
def test_parameter_count(use_batch_norm, rest):
    layer = SeparableConvBlock(7, kernel_size=5, use_batch_norm=use_batch_norm)
    layer.build((None, None, 6))
    assert layer.count_params() == 5 * 6 + 6 * 7 + rest


def test_regularizer_covers_both_kernels():
    layer = SeparableConvBlock(4, kernel_size=3, kernel_regularizer=keras.regularizers.L2(0.5))
    layer.build((None, None, 2))
    expected = sum(0.5 * (w**2).sum() for w in layer.get_weights()[:2])
    np.testing.assert_allclose(sum(float(loss) for loss in layer.losses), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, r"Expected `filters` .*Received: filters=0"),
        ({"filters": 2.5}, r"Expected `filters` .*Received: filters=2.5"),
        ({"kernel_size": -1}, r"Expected `kernel_size` .*Received: kernel_size=-1"),
        ({"strides": 0}, r"Expected `strides` .*Received: strides=0"),
        ({"padding": "valid"}, r"Expected `padding` .*Received: padding='valid'"),
        ({"kernel_size": 4}, r"Expected an odd `kernel_size` .*Received: kernel_size=4"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        SeparableConvBlock(**{"filters": 4, **arguments})


def test_unknown_channels_are_an_error():
    with pytest.raises(ValueError, match=r"known number of channels\. Received: shape="):
        SeparableConvBlock(4)(keras.Input((None, None)))
