import keras
import numpy as np
import pytest

from keras_contextnet.layers import SqueezeExcite1D


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(x, length, weights, context="global", causal=False):
    """Section 2.2.2 of the paper, frame by frame."""
    w1, b1, w2, b2 = (w.astype("float64") for w in weights)
    y = np.zeros(x.shape)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            start, end = 0, length[b]
            if causal:
                end = min(end, t + 1)
            if context != "global":
                start = max(0, t - (context - 1 if causal else context // 2))
                end = min(end, t + 1 if causal else t + context // 2 + 1)
            mean = x[b, start:end].astype("float64").mean(axis=0) if end > start else 0 * x[b, 0]
            hidden = mean @ w1 + b1
            gate = sigmoid((hidden * sigmoid(hidden)) @ w2 + b2)
            y[b, t] = gate * x[b, t]
    return y


@pytest.mark.parametrize(
    ("causal", "context"),
    [(False, context) for context in ("global", 1, 5, 7, 99)]
    + [(True, context) for context in ("global", 1, 2, 6, 7, 100)],
)
def test_matches_the_paper(context, causal, rng, randomize, call):
    x = rng.normal(size=(2, 17, 8)).astype("float32")
    mask = np.arange(17) < np.array([[17], [11]])
    layer = SqueezeExcite1D(reduction=4, context=context, causal=causal)
    layer.build(x.shape)
    randomize(layer)
    y = keras.ops.convert_to_numpy(call(layer, x, mask=mask))
    expected = reference(x, [17, 11], layer.get_weights(), context, causal)
    np.testing.assert_allclose(y[mask], expected[mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("channels", "reduction", "units"), [(256, 8, 32), (4, 8, 1), (9, 2, 4)])
def test_parameter_count(channels, reduction, units):
    for use_bias in (True, False):
        layer = SqueezeExcite1D(reduction=reduction, use_bias=use_bias)
        layer.build((None, None, channels))
        assert layer.count_params() == 2 * channels * units + use_bias * (units + channels)


def test_one_real_frame_among_padding_is_its_own_mean(rng, call):
    x = rng.normal(size=(1, 9, 8)).astype("float32")
    layer = SqueezeExcite1D()
    layer.build(x.shape)
    y = call(layer, x, mask=np.arange(9)[None] < 1)
    np.testing.assert_allclose(y[:, :1], call(layer, x[:, :1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("context", ["global", 1, 4])
def test_causal_sees_no_later_frame(context, rng, assert_causal):
    x = rng.normal(size=(1, 12, 8)).astype("float32")
    assert_causal(SqueezeExcite1D(context=context, causal=True), x)


@pytest.mark.parametrize("context", ["global", 9])
def test_without_causal_early_frames_see_later_ones(context, rng, call):
    x = rng.normal(size=(1, 12, 8)).astype("float32")
    layer = SqueezeExcite1D(context=context)
    changed = np.concatenate([x[:, :4], x[:, 4:] + 5], axis=1)
    before, after = np.asarray(call(layer, x)), np.asarray(call(layer, changed))
    assert np.abs(after[:, 0] - before[:, 0]).max() > 1e-3


def test_long_sequences_do_not_overflow_float16(rng, call):
    # Sums reach 240,000; half precision stops at 65,504.
    x = (rng.normal(size=(1, 6000, 8)) + 40).astype("float16")
    half, single = SqueezeExcite1D(dtype="mixed_float16"), SqueezeExcite1D()
    half.build(x.shape)
    single.build(x.shape)
    half.set_weights(single.get_weights())
    y, expected = call(half, x), call(single, x.astype("float32"))
    np.testing.assert_allclose(np.asarray(y, "float32"), expected, atol=0.1)  # of 40


@pytest.mark.parametrize(("context", "causal"), [(25, False), (25, True), ("global", True)])
def test_means_stay_exact_in_long_utterances(context, causal, rng, call):
    x = (rng.normal(size=(1, 20000, 2)) + 3).astype("float32")
    layer = SqueezeExcite1D(reduction=1, activation="linear", context=context, causal=causal)
    layer.build(x.shape)
    # Both dense layers are the identity, so that the gate is sigmoid(mean - 3).
    layer.set_weights([np.eye(2), np.zeros(2), np.eye(2), np.full(2, -3.0)])
    gate = np.asarray(call(layer, x))[0, -50:] / x[0, -50:]
    sums = np.cumsum(x[0].astype("float64"), axis=0)
    for i, t in enumerate(range(19950, 20000)):
        start = 0 if context == "global" else t - (24 if causal else 12)
        end = min(20000, t + 1 if causal else t + 13)
        mean = (sums[end - 1] - (sums[start - 1] if start else 0)) / (end - start)
        np.testing.assert_allclose(gate[i], sigmoid(mean - 3), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": 0}, r"Expected `reduction` .*Received: reduction=0"),
        ({"context": 0}, r"Expected `context` .*Received: context=0"),
        ({"context": "local"}, r"Expected `context` .*Received: context='local'"),
        ({"context": True}, r"Expected `context` .*Received: context=True"),
        ({"context": 4}, r"Expected an odd `context`.*Received: context=4"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        SqueezeExcite1D(**arguments)
