"""Windows of an encoder that is deaf near a window's edges, and shifted within it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.litert.greedy import GreedyDecoder
from keras_contextnet.litert.seams import decode_windows
from keras_contextnet.litert.windows import windows

BLANK, LENGTH, OVERLAP, EDGE = 0, 60, 24, 6
METADATA = {"blank_id": BLANK, "max_symbols_per_frame": 1, "state_size": 1}


def predict(token, state):
    return {"prediction": np.zeros((1, 1), "float32"), "next_state": state}


def join(frame, prediction):
    """A frame is the token that it emits."""
    return {"logits": np.eye(100, dtype="float32")[[int(frame[0, 0])]]}


def transcribe(audio, shifts):
    """The tokens of audio with one sample a frame, which is a token or 0, and their frames."""
    shifts = iter(shifts)

    def encode(samples):
        frames = np.roll(samples, next(shifts))
        frames[:EDGE] = frames[-EDGE:] = BLANK
        return frames[:, np.newaxis]

    cut = windows([audio], LENGTH, OVERLAP, frame=1)
    decoder = GreedyDecoder(predict, join, METADATA)
    emissions = decode_windows(cut, encode, decoder, LENGTH, OVERLAP, pause=5)
    return [(emission.token, emission.frame) for emission in emissions]


@given(
    gaps=st.lists(st.integers(5, 12), min_size=15, max_size=60),
    shifts=st.lists(st.integers(-1, 1), min_size=20, max_size=20),
)
def test_no_token_is_lost_or_doubled_at_a_seam(gaps, shifts):
    places = EDGE + np.cumsum(gaps)
    audio = np.zeros(places[-1] + EDGE + 2, "float32")
    audio[places] = tokens = np.arange(len(gaps)) + 1
    found, frames = zip(*transcribe(audio, shifts), strict=True)
    assert found == tuple(tokens)
    assert np.abs(np.array(frames) - places).max() <= 1


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_frames_of_windows_follow_one_another(gap):
    """With no shifts, tokens so dense that every seam is among them come out as well."""
    audio = np.zeros(400, "float32")
    places = np.arange(EDGE, 400 - EDGE, gap)
    audio[places] = tokens = places % 99 + 1
    found = transcribe(audio, [0] * 20)
    assert found == list(zip(tokens, places, strict=True))


def count_tokens(token, state):
    """The state counts the tokens since the start; the prediction is the count."""
    count = state * 0 if token == BLANK else state + 1
    return {"prediction": count, "next_state": count}


@pytest.mark.parametrize(("gap", "is_kept"), [(4, True), (20, False)])
def test_the_context_is_kept_but_for_pauses(gap, is_kept):
    audio = np.zeros(200, "float32")
    audio[EDGE::gap] = 1
    cut = windows([audio], LENGTH, OVERLAP, frame=1)
    decoder = GreedyDecoder(count_tokens, join, METADATA)
    emissions = decode_windows(
        cut, lambda samples: samples[:, np.newaxis], decoder, LENGTH, OVERLAP, pause=5
    )
    counts = [int(emission.context.state[0, 0]) for emission in emissions]
    assert len(counts) == np.count_nonzero(audio)
    assert (counts == list(range(1, len(counts) + 1))) == is_kept
    assert is_kept or max(counts) < len(counts)


@pytest.mark.parametrize("samples", range(LENGTH + 1, 2 * LENGTH, 7))
def test_silence_has_no_tokens(samples):
    assert transcribe(np.zeros(samples, "float32"), [0] * 9) == []
