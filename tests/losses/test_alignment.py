import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet import Joiner
from keras_contextnet.losses import joint_rnnt_alignment, rnnt_alignment
from keras_contextnet.losses.best_path import best_path

EXAMPLES = 25 if keras.backend.backend() == "tensorflow" else 8  # JAX compiles for each


def arrays(tensors):
    return tuple(ops.convert_to_numpy(tensor) for tensor in tensors)


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def every_alignment(log_probs, target, blank):
    """Emission frames and score of each alignment: (T, U + 1, vocabulary) and (U,)."""
    times = range(len(log_probs))
    for emitted in itertools.combinations_with_replacement(times, len(target)):
        labels = sum(log_probs[t, u, target[u]] for u, t in enumerate(emitted))
        blanks = sum(log_probs[t, sum(e <= t for e in emitted), blank] for t in times)
        yield emitted, labels + blanks


def random_case(frames, labels, vocabulary, blank, seed, batch=1):
    """Logits (batch, T, U + 1, vocabulary) and targets (batch, U) without the blank."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (batch, frames, labels + 1, vocabulary)).astype("float32")
    return logits, (blank + rng.integers(1, vocabulary, (batch, labels))) % vocabulary


USUAL_MODE = "eager" if keras.backend.backend() == "tensorflow" else "compiled"


def compiled(function, mode=USUAL_MODE):
    """`function` of one float array, in the given mode; "graph" has dynamic shapes."""
    if keras.backend.backend() == "jax":
        import jax

        return function if mode == "eager" else jax.jit(function)
    import tensorflow as tf

    if mode == "eager":
        return function
    if mode == "compiled":
        return tf.function(function, jit_compile=True)
    return lambda x: tf.function(
        function, input_signature=[tf.TensorSpec([None] * (x.ndim - 1) + [x.shape[-1]], x.dtype)]
    )(x)


@settings(max_examples=EXAMPLES)
@given(
    frames=st.integers(1, 4),
    labels=st.integers(0, 4),
    vocabulary=st.integers(2, 6),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_agrees_with_listing_every_alignment(frames, labels, vocabulary, seed, data):
    blank = data.draw(st.integers(-vocabulary, vocabulary - 1), label="blank_id")
    batch = data.draw(st.integers(1, 3), label="batch")
    frame_lengths = data.draw(st.lists(st.integers(1, frames), min_size=batch, max_size=batch))
    label_lengths = data.draw(st.lists(st.integers(0, labels), min_size=batch, max_size=batch))
    logits, target = random_case(frames, labels, vocabulary, blank % vocabulary, seed, batch)

    align = compiled(
        lambda x: rnnt_alignment(target, x, label_lengths, frame_lengths, blank_id=blank)
    )
    emitted, score = arrays(align(logits))
    assert emitted.shape == (batch, labels)
    assert emitted.dtype == np.int32
    for row, (t, u) in enumerate(zip(frame_lengths, label_lengths, strict=True)):
        log_probs = log_softmax(logits[row, :t, : u + 1].astype("float64"))
        scores = dict(every_alignment(log_probs, target[row, :u], blank % vocabulary))
        best = max(scores.values())
        np.testing.assert_allclose(score[row], best, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scores[tuple(emitted[row, :u])], best, rtol=1e-5, atol=1e-5)
        assert (emitted[row, u:] == -1).all()


@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
def test_follows_the_one_path_that_the_logits_favour(mode):
    emitted = np.array([[0, 0, 3, 8, 8], [2, 2, 2, 2, -1], [-1, -1, -1, -1, -1]])
    frame_length, label_length = np.array([9, 5, 7]), np.array([5, 4, 0])
    target = np.arange(1, 6)[None].repeat(3, axis=0)
    logits = np.zeros((3, 9, 6, 7), "float32")
    for row in range(3):
        for u in range(label_length[row]):
            logits[row, emitted[row, u], u, target[row, u]] = 9

    align = compiled(lambda x: rnnt_alignment(target, x, label_length, frame_length), mode)
    frames, score = arrays(align(logits))
    np.testing.assert_array_equal(frames, emitted)
    # No label's logit is large at a blank of these paths, so that all else is uniform.
    each_label = 9 - np.log(np.exp(9) + 6)
    expected = label_length * each_label - frame_length * np.log(7)
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_of_equal_paths_the_earliest():
    align = compiled(lambda x: rnnt_alignment([[1, 2, 1]], x, [3], [4]))
    frames, score = arrays(align(np.zeros((1, 5, 4, 3), "float32")))
    np.testing.assert_array_equal(frames, [[0, 0, 0]])
    np.testing.assert_allclose(score, [-7 * np.log(3)], rtol=1e-6)


def test_long_lattices_keep_their_path():
    # Every arc off the path is worse by a thousandth of a score in the thousands.
    rng = np.random.default_rng(0)
    emitted = np.sort(rng.choice(700, 60, replace=False))
    blank = np.full((1, 700, 61), -4.0, "float32")
    label = np.full((1, 700, 61), -4.004, "float32")
    label[0, emitted, np.arange(60)] = -4.0
    frames, score = arrays(best_path(blank, label, [700], [60]))
    np.testing.assert_array_equal(frames[0], emitted)
    np.testing.assert_allclose(score, [-4.0 * 760], rtol=1e-6)


def test_padding_of_any_value_changes_nothing():
    logits, target = random_case(4, 3, 6, blank=0, seed=7)
    alone, alone_score = arrays(compiled(lambda x: rnnt_alignment(target, x, [3], [4]))(logits))
    junk = np.array([np.nan, np.inf, -np.inf, 1e30, 0], "float32")
    padded = np.broadcast_to(junk[:, None, None, None], (5, 7, 6, 6)).copy()
    padded[:, :4, :4] = logits[0]
    labels = np.array([[*target[0], *tail] for tail in ((0, 0), (-1, 6), (99, 1), (2, -5), (1, 1))])
    align = compiled(lambda x: rnnt_alignment(labels, x, [3] * 5, [4] * 5))
    frames, score = arrays(align(padded))
    np.testing.assert_array_equal(frames[:, :3], alone.repeat(5, axis=0))
    assert (frames[:, 3:] == -1).all()
    np.testing.assert_allclose(score, alone_score.repeat(5), rtol=1e-6)


def test_rows_without_a_path():
    logits, target = random_case(3, 2, 4, blank=0, seed=4, batch=4)
    logits[3, :, :, target[3, 1]] = -np.inf
    align = compiled(lambda x: rnnt_alignment(target, x, [0, 2, 2, 2], [0, 0, 3, 3]))
    frames, score = arrays(align(logits))
    assert (frames[[0, 1, 3]] == -1).all()
    assert (frames[2] >= 0).all()
    assert score[0] == 0
    assert score[1] == score[3] == -np.inf
    assert np.isfinite(score[2])


@pytest.mark.parametrize("mode", ["graph", "compiled"])
def test_nan_in_a_cell_that_an_alignment_may_use(mode):
    logits, target = random_case(4, 3, 6, blank=0, seed=8, batch=6)
    for row, (t, u) in enumerate([(0, 0), (3, 3), (0, 3), (3, 0), (2, 1)]):
        logits[row, t, u, 5] = np.nan
    align = compiled(lambda x: rnnt_alignment(target, x, [3] * 6, [4] * 6), mode)
    frames, score = arrays(align(logits))
    assert np.isnan(score[:5]).all()
    assert (frames[:5] == -1).all()
    assert np.isfinite(score[5])
    assert (frames[5] >= 0).all()


@pytest.mark.parametrize("mode", ["graph", "compiled"])
def test_what_cannot_be_checked_in_a_graph_has_no_path(mode):
    # Illegal rows: the blank as a label, a label too large, one too many labels, and frames.
    numbers = np.array([[1, 0, 2, 4], [1, 5, 2, 4], [1, 2, 3, 4], [1, 2, 2, 5], [1, 2, 2, 4]])

    def align(x):
        # As part of the logits' tensor, so that no value is known while tracing.
        numbers = ops.cast(ops.round(x[:, 0, 0, 5:]), "int32")
        return rnnt_alignment(numbers[:, :2], x[..., :5], numbers[:, 2], numbers[:, 3])

    x = np.zeros((5, 4, 3, 9), "float32")
    x[:, 0, 0, 5:] = numbers
    frames, score = arrays(compiled(align, mode)(x))
    assert np.isnan(score[:4]).all()
    assert (frames[:4] == -1).all()
    np.testing.assert_allclose(score[4], -6 * np.log(5), rtol=1e-6)
    np.testing.assert_array_equal(frames[4], [0, 0])


def test_half_precision_logits_are_computed_in_float32():
    logits, target = random_case(6, 4, 8, blank=0, seed=5)
    half = ops.cast(logits, "bfloat16")
    align = compiled(lambda x: rnnt_alignment(target, x, [4], [6]))
    frames, score = arrays(align(half))
    expected = arrays(align(ops.cast(half, "float32")))
    assert score.dtype == np.float32
    np.testing.assert_array_equal(frames, expected[0])
    np.testing.assert_array_equal(score, expected[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": np.zeros((2, 4, 3, 5), "float32")}, r"same U.*\(2, 4, 3, 5\).*\(2, 3\)"),
        ({"blank_id": 5}, r"`blank_id`.*-5 to 4.*blank_id=5"),
        ({"output_length": [-1, 4]}, r"`output_length`.*0 to 4.*output_length\[0\]=-1"),
        ({"target": [[1, 2, 3], [1, 0, 1]]}, r"`target`.*blank, 0.*target\[1, 1\]=0"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {
        "target": np.ones((2, 3), "int32"),
        "output": np.zeros((2, 4, 4, 5), "float32"),
        "target_length": [3, 3],
        "output_length": [4, 4],
    }
    with pytest.raises(ValueError, match=message):
        rnnt_alignment(**{**arguments, **changes})


def test_from_a_joint_network_s_inputs():
    """Equal to the alignment of its logits, in the utterance that a graph cannot refuse too."""
    rng = np.random.default_rng(0)
    joiner = Joiner(7, units=6)
    encoder_output = rng.normal(size=(3, 6, 5)).astype("float32")
    predictor_output = rng.normal(size=(3, 4, 5)).astype("float32")
    target = rng.integers(0, 6, (3, 3))
    logits = joiner(encoder_output, predictor_output)
    lengths = np.array([3, 1, 2]), np.array([6, 4, 1])
    expected = rnnt_alignment(target, logits, *lengths, blank_id=-1)
    received = joint_rnnt_alignment(
        encoder_output, predictor_output, joiner, target, *lengths, blank_id=-1
    )
    np.testing.assert_array_equal(*(ops.convert_to_numpy(x[0]) for x in (received, expected)))
    scores = [ops.convert_to_numpy(x[1]) for x in (received, expected)]
    np.testing.assert_allclose(*scores, rtol=1e-5)
