import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.decoding import greedy_decode

BLANK = 6


def lstm_step(token, state, weights):
    """One step of Keras's LSTM (gates i, f, c, o) in NumPy."""
    embeddings, kernel, recurrent, bias = weights
    h, c = state
    i, f, g, o = np.split(embeddings[token] @ kernel + h @ recurrent + bias, 4)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    c = f * c + i * np.tanh(g)
    h = o * np.tanh(c)
    return h, (h, c)


def reference(frames, predictor, joiner, max_symbols_per_frame):
    """Greedy decoding of one utterance (T, channels), as one would write it down.

    Returns the pairs of token and frame.
    """
    weights = [w.astype("float64") for w in predictor.get_weights()]
    encoder_kernel, encoder_bias, predictor_kernel, predictor_bias, kernel, bias = (
        w.astype("float64") for w in joiner.get_weights()
    )
    state = (np.zeros(predictor.units),) * 2
    output, state = lstm_step(predictor.blank_id, state, weights)
    tokens = []
    for index, frame in enumerate(frames):
        for _ in range(max_symbols_per_frame):
            joint = frame @ encoder_kernel + encoder_bias
            joint = np.tanh(joint + output @ predictor_kernel + predictor_bias)
            best = int(np.argmax(joint @ kernel + bias))
            if best == predictor.blank_id:
                break
            tokens.append((best, index))
            output, state = lstm_step(best, state, weights)
    return tokens


def make_parts(seed, blank_bias, blank_id=BLANK):
    """Random predictor and joiner for 7 outputs; the bias decides how often the blank wins."""
    rng = np.random.default_rng(seed)
    predictor = kc.Predictor(7, embedding_size=5, units=6, blank_id=blank_id)
    joiner = kc.Joiner(7, units=8)
    predictor.build()
    joiner.build((None, None, 4), (None, None, 6))
    for layer in (predictor, joiner):
        layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    bias = np.zeros(7)
    bias[blank_id] = blank_bias
    joiner.output_projection.bias.assign(bias)
    return predictor, joiner


LENGTHS = np.array([9, 0, 1, 5], "int32")


def make_frames(seed):
    """(4, 9, 4); what lies past a row's length is loud and must not be heard."""
    frames = np.random.default_rng(seed).normal(size=(4, 9, 4)).astype("float32") * 2
    frames[np.arange(9) >= LENGTHS[:, None]] = 50.0
    return frames


def decode(frames, lengths, parts, limit=3, compiled=True):
    """As lists of (token, frame); compiled as a tf.function of unknown sizes, or by jax.jit."""

    def function(frames, lengths):
        return greedy_decode(frames, lengths, *parts, limit)

    if compiled and keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    elif compiled:
        import tensorflow as tf

        function = tf.function(
            function,
            input_signature=[tf.TensorSpec((None, None, 4)), tf.TensorSpec((None,), "int32")],
        )
    tokens, count, frame = (np.asarray(value) for value in function(frames, lengths))
    assert tokens.shape == frame.shape == (len(frames), frames.shape[1] * limit)
    assert tokens.dtype == count.dtype == frame.dtype == np.int32
    pairs = np.stack([tokens, frame], axis=-1)
    for row, length in zip(pairs, count, strict=True):
        assert (row[length:] == -1).all()
    rows = zip(pairs.tolist(), count, strict=True)
    return [list(map(tuple, row[:length])) for row, length in rows]


@pytest.mark.parametrize("blank_bias", [-20.0, 0.0, 2.0, 20.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_matches_a_loop_in_numpy(seed, blank_bias):
    """Blanks that were fed back, or frames that were skipped, would change what follows."""
    parts, frames = make_parts(seed, blank_bias), make_frames(seed)
    expected = [
        reference(row[:length], *parts, 3) for row, length in zip(frames, LENGTHS, strict=True)
    ]
    assert decode(frames, LENGTHS, parts) == expected
    tokens = len(expected[0])
    if blank_bias == 0.0:
        assert 0 < tokens < 27  # blanks and tokens mix
    if abs(blank_bias) == 20.0:
        assert tokens == (27 if blank_bias < 0 else 0)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_symbols_per_frame_are_capped(limit):
    parts, frames = make_parts(2, 1.0), make_frames(2)
    expected = [
        reference(row[:length], *parts, limit) for row, length in zip(frames, LENGTHS, strict=True)
    ]
    assert decode(frames, LENGTHS, parts, limit) == expected


@pytest.mark.parametrize("blank_id", [0, 3])
def test_any_blank(blank_id):
    parts, frames = make_parts(3, 1.0, blank_id), make_frames(3)
    received = decode(frames, LENGTHS, parts)
    assert received[0] == reference(frames[0], *parts, 3)
    assert all(blank_id != token for row in received for token, _ in row)


def test_a_row_alone_and_in_any_batch():
    """Neither the other rows, nor their number, nor the padding matters."""
    parts, frames = make_parts(1, 1.0), make_frames(1)
    together = decode(frames, LENGTHS, parts)
    for row, length in enumerate(LENGTHS):
        if length:
            alone = decode(frames[row : row + 1, :length], LENGTHS[row : row + 1], parts)
            assert alone == [together[row]]
    order = [3, 0, 0, 2, 1, 3, 0]
    expected = [together[row] for row in order]
    assert decode(frames[order], LENGTHS[order], parts) == expected


def test_eager_gives_what_compiled_gives():
    parts, frames = make_parts(0, 1.0), make_frames(0)
    eager = decode(frames[:, :4], np.minimum(LENGTHS, 4), parts, compiled=False)
    assert eager == decode(frames[:, :4], np.minimum(LENGTHS, 4), parts)
