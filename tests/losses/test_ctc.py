import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.losses import ctc_loss

# JAX compiles for each example, and every operation that it runs eagerly.
EXAMPLES, MODES = (
    (20, ["eager", "graph", "compiled"])
    if keras.backend.backend() == "tensorflow"
    else (4, ["compiled"])
)


def read(alignment, blank):
    """Collapses repeats and drops blanks."""
    return [token for token, _ in itertools.groupby(alignment) if token != blank]


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def cost_and_gradient(logits, target, blank):
    """By listing every alignment: one utterance's logits (T, vocabulary), target (U,)."""
    frames, vocabulary = logits.shape
    log_probs = log_softmax(np.asarray(logits, np.float64))
    total, occupancy = 0.0, np.zeros((frames, vocabulary))
    for alignment in itertools.product(range(vocabulary), repeat=frames):
        if read(alignment, blank) == list(target):
            places = (np.arange(frames), np.array(alignment, int))
            probability = np.exp(log_probs[places].sum())
            total += probability
            occupancy[places] += probability
    if not total:
        return np.inf, np.zeros_like(log_probs)
    return -np.log(total), np.exp(log_probs) - occupancy / total


def random_case(frames, labels, vocabulary, blank, seed, batch=1):
    """Logits (batch, T, vocabulary) in float64 and targets (batch, U) without the blank."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (batch, frames, vocabulary))
    target = (blank + rng.integers(1, vocabulary, (batch, labels))) % vocabulary
    return logits, target


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    frames=st.integers(1, 5),
    labels=st.integers(0, 4),
    vocabulary=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_agrees_with_listing_every_alignment(
    value_and_gradient, frames, labels, vocabulary, seed, data
):
    """Few symbols, so that labels repeat and some targets do not fit."""
    blank = data.draw(st.integers(-vocabulary, vocabulary - 1), label="blank_id")
    batch = data.draw(st.integers(1, 3), label="batch")
    frame_lengths = data.draw(st.lists(st.integers(0, frames), min_size=batch, max_size=batch))
    label_lengths = data.draw(st.lists(st.integers(0, labels), min_size=batch, max_size=batch))
    logits, target = random_case(frames, labels, vocabulary, blank % vocabulary, seed, batch)
    cost, gradient = value_and_gradient(
        lambda x: ctc_loss(target, x, label_lengths, frame_lengths, blank_id=blank), logits
    )
    for row, (t, u) in enumerate(zip(frame_lengths, label_lengths, strict=True)):
        expected, expected_gradient = cost_and_gradient(
            logits[row, :t], target[row, :u], blank % vocabulary
        )
        np.testing.assert_allclose(cost[row], expected, atol=1e-6)
        np.testing.assert_allclose(gradient[row, :t], expected_gradient, atol=1e-6)
        assert not gradient[row, t:].any()


@pytest.mark.parametrize("mode", MODES)
def test_agrees_with_keras(value_and_gradient, mode):
    """At a length and a vocabulary where alignments cannot be listed, and every target fits."""
    logits, target = random_case(60, 12, 20, blank=19, seed=3, batch=3)
    logits = logits.astype("float32")
    target[0, :4] = 5  # three repeats
    label_lengths, frame_lengths = np.array([12, 0, 7]), np.array([60, 31, 22])

    def keras_loss(x):
        return ops.ctc_loss(target, x, label_lengths, frame_lengths, mask_index=19)

    expected, expected_gradient = value_and_gradient(keras_loss, logits, "compiled")
    value, gradient = value_and_gradient(
        lambda x: ctc_loss(target, x, label_lengths, frame_lengths, blank_id=-1), logits, mode
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-4)


def test_uniform_logits_have_a_closed_form(value_and_gradient):
    """One label and blanks: as many alignments as there are runs of the label."""
    frames = 8000
    logits = np.full((1, frames, 4), 3.5, "float32")
    value, _ = value_and_gradient(lambda x: ctc_loss([[2]], x, [1], [frames]), logits)
    runs = frames * (frames + 1) / 2
    np.testing.assert_allclose(value, [frames * np.log(4) - np.log(runs)], rtol=1e-6)


@pytest.mark.tensorflow_only
def test_every_dimension_may_be_dynamic():
    import tensorflow as tf

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int64),
            tf.TensorSpec([None, None, None], tf.float32),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def cost(*args):
        return ctc_loss(*args, blank_id=-1)

    for frames, labels, vocabulary in [(4, 2, 4), (2, 0, 3), (1, 3, 4)]:
        logits, target = random_case(frames, labels, vocabulary, vocabulary - 1, seed=0, batch=2)
        value = cost(target, logits.astype("float32"), np.full(2, labels), np.full(2, frames))
        for row in range(2):
            expected, _ = cost_and_gradient(logits[row], target[row], vocabulary - 1)
            np.testing.assert_allclose(value[row], expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_logits_are_computed_in_float32(value_and_gradient, dtype):
    logits, target = random_case(6, 3, 8, blank=0, seed=5)
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(logits, dtype), "float32"))

    def cost(x):
        return ctc_loss(target, x, [3], [6])

    def cost_of_half(x):
        value = cost(ops.cast(x, dtype))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        return value

    expected, expected_gradient = value_and_gradient(cost, rounded)
    value, gradient = value_and_gradient(cost_of_half, rounded)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=2**-8)


def test_padding_of_any_value_changes_nothing(value_and_gradient):
    logits, target = random_case(4, 2, 5, blank=4, seed=7)
    alone, alone_gradient = value_and_gradient(
        lambda x: ctc_loss(target, x, [2], [4], blank_id=4), logits.astype("float32")
    )
    padded = np.empty((4, 7, 5), "float32")
    padded[:] = np.array([np.nan, np.inf, -np.inf, 1e30], "float32")[:, None, None]
    padded[:, :4] = logits[0]
    labels = np.array([[*target[0], filler] for filler in (4, -1, 10**6, 0)])
    value, gradient = value_and_gradient(
        lambda x: ctc_loss(labels, x, np.full(4, 2), np.full(4, 4), blank_id=4), padded
    )
    np.testing.assert_allclose(value, alone.repeat(4), rtol=1e-6)
    np.testing.assert_allclose(gradient[:, :4], alone_gradient.repeat(4, axis=0), atol=1e-6)
    assert not gradient[:, 4:].any()


@pytest.mark.parametrize("mode", MODES)
def test_a_target_that_does_not_fit_costs_infinity_and_moves_nothing(value_and_gradient, mode):
    """Two labels need two frames, and one more where they are alike; no frames hold nothing."""
    logits, _ = random_case(3, 2, 4, blank=3, seed=4, batch=5)
    target = np.array([[1, 2], [1, 1], [1, 1], [1, 2], [0, 0]])
    labels, frames = np.array([2, 2, 2, 1, 0]), np.array([1, 2, 3, 0, 0])
    value, gradient = value_and_gradient(
        lambda x: ctc_loss(target, x, labels, frames, blank_id=3), logits.astype("float32"), mode
    )
    assert np.isinf(value).tolist() == [True, True, False, True, False]
    assert value[4] == 0
    assert np.isfinite(gradient).all()
    assert gradient.any(axis=(1, 2)).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("mode", MODES)
def test_nan_shows_in_that_loss_alone(value_and_gradient, mode):
    logits, target = random_case(4, 2, 4, blank=3, seed=8, batch=3)
    logits[0, 0, 0] = logits[1, 3, 3] = np.nan
    value, gradient = value_and_gradient(
        lambda x: ctc_loss(target, x, np.full(3, 2), np.full(3, 4), blank_id=3),
        logits.astype("float32"),
        mode,
    )
    assert np.isnan(value).tolist() == [True, True, False]
    assert np.isnan(gradient).any(axis=(1, 2)).tolist() == [True, True, False]


def test_minus_infinity_is_an_impossible_symbol(value_and_gradient):
    logits, target = random_case(4, 2, 5, blank=4, seed=9)
    target[:] = [[0, 1]]
    expected, expected_gradient = cost_and_gradient(logits[0][:, [0, 1, 4]], [0, 1], 2)
    logits[..., 2:4] = -np.inf
    value, gradient = value_and_gradient(lambda x: ctc_loss(target, x, [2], [4], 4), logits)
    np.testing.assert_allclose(value, [expected], rtol=1e-6)
    np.testing.assert_allclose(gradient[0][:, [0, 1, 4]], expected_gradient, atol=1e-6)
    assert not gradient[..., 2:4].any()


def test_upstream_gradients_scale_each_row(value_and_gradient):
    logits, target = random_case(4, 2, 4, blank=0, seed=6, batch=3)
    weights = np.array([2.0, -0.5, 0.0])
    _, gradient = value_and_gradient(
        lambda x: ctc_loss(target, x, np.full(3, 2), np.full(3, 4)) * weights, logits
    )
    for row in range(3):
        _, expected = cost_and_gradient(logits[row], target[row], 0)
        np.testing.assert_allclose(gradient[row], weights[row] * expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.ones((2, 3, 1))}, r"`target`.*rank 2.*\(2, 3, 1\)"),
        ({"output": np.zeros((2, 4, 4, 5), "float32")}, r"`output`.*rank 3.*\(2, 4, 4, 5\)"),
        ({"output": np.zeros((2, 4, 5), "int32")}, r"`output`.*float.*int32"),
        ({"target_length": [3, 3, 3]}, r"`target_length`.*batch.*\(3,\)"),
        ({"blank_id": 5}, r"`blank_id`.*-5 to 4.*blank_id=5"),
        ({"output_length": [-1, 4]}, r"`output_length`.*0 to 4.*output_length\[0\]=-1"),
        ({"target": [[1, 2, 3], [1, 0, 1]]}, r"`target`.*blank, 0.*target\[1, 1\]=0"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {
        "target": np.ones((2, 3), "int32"),
        "output": np.zeros((2, 4, 5), "float32"),
        "target_length": [3, 3],
        "output_length": [4, 4],
    }
    with pytest.raises(ValueError, match=message):
        ctc_loss(**{**arguments, **changes})


def test_what_cannot_be_checked_in_a_graph_is_nan(value_and_gradient):
    numbers = np.array([[1, 0, 2, 4], [1, 5, 2, 4], [1, 2, 3, 4], [1, 2, 2, 5], [1, 2, 2, 4]])

    def cost(x):
        # As part of the differentiated input, so that no value is known while tracing.
        numbers = ops.cast(ops.round(x[:, 0, 5:]), "int32")
        return ctc_loss(numbers[:, :2], x[..., :5], numbers[:, 2], numbers[:, 3])

    x = np.zeros((5, 4, 9), "float32")
    x[:, 0, 5:] = numbers
    value, _ = value_and_gradient(cost, x, "compiled")
    assert np.isnan(value).tolist() == [True] * 4 + [False]
