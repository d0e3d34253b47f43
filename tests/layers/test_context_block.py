import keras
import numpy as np
import pytest

from keras_contextnet.layers import ContextBlock


def swish(x):
    return x / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def batch_norm(x, gamma, beta, mean, variance):
    return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta


def conv_norm(x, weights, strides):
    """BN(Conv(x)) of one utterance (time, channels), with a kernel of 5."""
    depthwise, pointwise, *norm = weights
    padded = np.pad(x, ((2, 2), (0, 0)))
    rows = [(padded[t : t + 5] * depthwise).sum(axis=0) for t in range(0, len(x), strides)]
    return batch_norm(np.array(rows) @ pointwise, *norm)


def reference(x, layer, activate_last_conv=True, squeeze_excite_bias=True):
    """C(x) = Act(SE(f^m(x)) + P(x)), sections 2.2.2 and 2.2.3 of the paper."""
    y = x.astype("float64")
    for conv in layer.convs:
        y = conv_norm(y, conv.get_weights(), conv.strides)
        if activate_last_conv or conv is not layer.convs[-1]:
            y = swish(y)
    if squeeze_excite_bias:
        w1, b1, w2, b2 = layer.squeeze_excite.get_weights()
    else:
        (w1, w2), b1, b2 = layer.squeeze_excite.get_weights(), 0.0, 0.0
    y = y * sigmoid(swish(y.mean(axis=0) @ w1 + b1) @ w2 + b2)
    if layer.projection is None:
        return y if activate_last_conv else swish(y)
    kernel, *norm = layer.projection.get_weights()
    return swish(y + batch_norm(x[:: layer.strides].astype("float64") @ kernel, *norm))


@pytest.mark.parametrize("time", [10, 11])
@pytest.mark.parametrize(
    "arguments",
    [
        {"num_convs": 3, "strides": 2},
        {"num_convs": 2, "squeeze_excite_conv": False},
        {"num_convs": 1, "residual": False},
        {"num_convs": 1, "residual": False, "squeeze_excite_conv": False, "strides": 2},
    ],
    ids=str,
)
def test_matches_the_paper(arguments, time, rng, randomize, call):
    x = rng.normal(size=(2, time, 3)).astype("float32")
    layer = ContextBlock(8, **arguments)
    layer.build(x.shape)
    randomize(layer)
    y = np.asarray(call(layer, x))
    for i in range(2):
        expected = reference(x[i], layer)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(y[i] / scale, expected / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("squeeze_excite_conv", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_matches_the_definition_with_the_activation_at_the_end(
    residual, squeeze_excite_conv, rng, randomize, call
):
    x = rng.normal(size=(1, 11, 3)).astype("float32")
    options = {"activate_last_conv": False, "squeeze_excite_bias": False}
    layer = ContextBlock(
        8,
        num_convs=2,
        strides=2,
        residual=residual,
        squeeze_excite_conv=squeeze_excite_conv,
        **options,
    )
    layer.build(x.shape)
    randomize(layer)
    y = np.asarray(call(layer, x))[0]
    expected = reference(x[0], layer, **options)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(y / scale, expected / scale, rtol=1e-5, atol=1e-5)


def test_dropout_between_convolutions_acts_there_and_in_training_alone(rng):
    """A share of all but one is dropped of what the second convolution reads."""
    x = rng.normal(size=(1, 400, 16)).astype("float32")
    layer = ContextBlock(
        16, num_convs=2, squeeze_excite_conv=False, residual=False, conv_dropout=0.75
    )
    read = []
    layer.build(x.shape)
    second = layer.convs[1]
    call, layer.convs[1].call = (
        second.call,
        lambda inputs, **kwargs: read.append(np.asarray(inputs)) or call(inputs, **kwargs),
    )
    layer(x, training=True)
    layer(x, training=False)
    assert abs((read[0] == 0).mean() - 0.75) < 0.05
    assert (read[1] == 0).mean() < 0.01


@pytest.mark.parametrize("se_conv", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_parameter_count(se_conv, residual):
    """Kernel 5, 5 convolutions from 256 to 512 channels, as in C11; gamma and beta counted only."""
    layer = ContextBlock(512, squeeze_excite_conv=se_conv, residual=residual)
    layer.build((None, None, 256))
    first = 5 * 256 + 256 * 512 + 2 * 512
    other = 5 * 512 + 512 * 512 + 2 * 512
    expected = first + (4 + se_conv) * other
    expected += 512 * 64 + 64 + 64 * 512 + 512
    expected += residual * (256 * 512 + 2 * 512)
    assert sum(int(np.prod(w.shape)) for w in layer.trainable_weights) == expected


def test_first_conv_changes_channels_and_last_one_has_the_stride():
    layer = ContextBlock(8, num_convs=3, strides=2)
    layer.build((None, None, 3))
    assert [conv.strides for conv in layer.convs] == [1, 1, 2, 1]
    assert [conv.pointwise_kernel.shape for conv in layer.convs] == [(3, 8)] + [(8, 8)] * 3


@pytest.mark.parametrize("context", ["global", 4])
@pytest.mark.parametrize("strides", [1, 2])
def test_causal_sees_no_later_frame(strides, context, rng, assert_causal):
    x = rng.normal(size=(1, 14, 3)).astype("float32")
    layer = ContextBlock(
        8, num_convs=2, strides=strides, padding="causal", squeeze_excite_context=context
    )
    assert_causal(layer, x, strides)


def test_keras_mask_travels_through_a_stack(rng, call):
    x = rng.normal(size=(2, 13, 3)).astype("float32")
    mask = np.arange(13) < np.array([[13], [6]])
    x[~mask] = -99.0
    inputs = keras.Input((None, 3))
    outputs = keras.layers.Masking(-99.0)(inputs)
    for strides in (2, 2):
        outputs = ContextBlock(4, num_convs=2, strides=strides)(outputs)
    model = keras.Model(inputs, outputs)
    y = np.asarray(call(model, x))
    alone = np.asarray(call(model, x[1:, :6]))
    assert y.shape == (2, 4, 4)
    np.testing.assert_allclose(y[1:, :2], alone, rtol=1e-5, atol=1e-5)


def test_nan_padding_poisons_no_weight(rng):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    mask = np.arange(9) < np.array([[9], [4]])
    x[~mask] = np.nan
    frames, lengths = keras.Input((None, 3)), keras.Input((None,), dtype="bool")
    y = ContextBlock(4, num_convs=2)(frames, mask=lengths)
    # The loss looks at the first frames, which both utterances have.
    model = keras.Model([frames, lengths], y[:, :4])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    model.fit([x, mask], np.ones((2, 4, 4)), verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        assert np.isfinite(b).all()
        assert (a != b).any()


def test_dropout_acts_in_training_only(rng, call):
    x = rng.normal(size=(1, 20, 3)).astype("float32")
    layer = ContextBlock(4, num_convs=1, dropout=0.5)
    layer.build(x.shape)
    assert 0.2 < (np.asarray(call(layer, x, training=True)) == 0).mean() < 0.8
    assert (np.asarray(call(layer, x)) != 0).all()


@pytest.mark.parametrize("num_convs", [0, 2.0])
def test_errors_name_the_argument(num_convs):
    with pytest.raises(
        ValueError, match=rf"Expected `num_convs` .*Received: num_convs={num_convs}"
    ):
        ContextBlock(4, num_convs=num_convs)
