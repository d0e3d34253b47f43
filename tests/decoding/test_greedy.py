import numpy as np
import pytest
from random_transducer import LENGTHS, NumpyTransducer, make_frames, make_parts, run_decoder

from keras_contextnet.decoding import greedy_decode


def reference(frames, predictor, joiner, max_symbols_per_frame):
    """Greedy decoding of one utterance (T, channels), as one would write it down.

    Returns the pairs of token and frame.
    """
    transducer = NumpyTransducer(predictor, joiner)
    state, tokens = transducer.start, []
    for index, frame in enumerate(frames):
        for _ in range(max_symbols_per_frame):
            best = int(np.argmax(transducer.log_probs(frame, state)))
            if best == predictor.blank_id:
                break
            tokens.append((best, index))
            state = transducer.read(best, state)
    return tokens


def decode(frames, lengths, parts, limit=3, compiled=True):
    return run_decoder(greedy_decode, frames, lengths, parts, limit=limit, compiled=compiled)


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
