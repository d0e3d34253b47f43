"""Greedy CTC decoding against collapsing with itertools."""

import itertools

import keras
import numpy as np
import pytest

from keras_contextnet.decoding import ctc_greedy_decode


def run(logits, frame_length, blank_id):
    outputs = ctc_greedy_decode(logits, frame_length, blank_id)
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def reference(best, blank_id):
    """Tokens of a row and the first frame of each."""
    frame, tokens = 0, []
    for token, repeats in itertools.groupby(best):
        if token != blank_id:
            tokens.append((token, frame))
        frame += len(list(repeats))
    return tokens


@pytest.mark.parametrize("blank_id", [0, 3])
def test_collapses_repeats_and_drops_blanks(blank_id):
    """Few tokens, so that they repeat; padding goes on with the last frame's token."""
    rng = np.random.default_rng(1)
    frame_length = np.array([20, 13, 1, 0], "int32")
    logits = rng.normal(size=(4, 20, 4)).astype("float32")
    tokens, count, frame = run(logits, frame_length, blank_id)
    assert tokens.shape == frame.shape == (4, 20)
    assert {tokens.dtype, count.dtype, frame.dtype} == {np.dtype("int32")}
    best = logits.argmax(axis=-1)
    for row, length in enumerate(frame_length):
        expected = reference(best[row, :length], blank_id)
        assert count[row] == len(expected)
        assert list(zip(tokens[row], frame[row], strict=True))[: count[row]] == expected
        assert (tokens[row, count[row] :] == -1).all()
        assert (frame[row, count[row] :] == -1).all()
    assert count[0] > 3


def test_padding_may_hold_anything():
    logits = np.random.default_rng(2).normal(size=(1, 9, 4)).astype("float32")
    alone = run(logits, np.array([9]), 3)
    padded = np.concatenate([logits, np.full((1, 4, 4), np.nan, "float32")], axis=1)
    tokens, count, frame = run(padded, np.array([9]), 3)
    np.testing.assert_array_equal(tokens[:, :9], alone[0])
    np.testing.assert_array_equal(frame[:, :9], alone[2])
    assert count == alone[1]
    assert (tokens[:, 9:] == -1).all()


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_with_dynamic_shapes(jit_compile):
    import tensorflow as tf

    decode = tf.function(
        lambda logits, length: ctc_greedy_decode(logits, length, 3),
        input_signature=[
            tf.TensorSpec((None, None, 4), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ],
        jit_compile=jit_compile,
    )
    rng = np.random.default_rng(3)
    for batch, frames in ((2, 11), (1, 5)):
        logits = rng.normal(size=(batch, frames, 4)).astype("float32")
        length = np.full(batch, frames, "int32")
        for compiled, eager in zip(decode(logits, length), run(logits, length, 3), strict=True):
            np.testing.assert_array_equal(compiled, eager)
