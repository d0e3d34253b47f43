from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.litert.windows import windows


@given(
    samples=st.integers(0, 400),
    length=st.integers(2, 12),
    overlap=st.integers(1, 11),
    frame=st.integers(1, 5),
    block=st.integers(1, 90),
)
def test_windows_hold_the_audio_and_overlap(samples, length, overlap, frame, block):
    overlap = min(overlap, length - 1)
    audio = np.arange(samples, dtype="float32")
    blocks = [audio[start : start + block] for start in range(0, samples, block)]
    cut = list(windows(blocks, length, overlap, frame))
    for window in cut:
        start = window.start * frame
        np.testing.assert_array_equal(window.samples, audio[start : start + len(window.samples)])
    assert [window.is_last for window in cut] == [False] * (len(cut) - 1) + [True]
    assert all(len(window.samples) == length * frame for window in cut[:-1])
    for window, following in pairwise(cut[:-1]):
        assert following.start == window.start + length - overlap
    last = cut[-1]
    assert cut[0].start == 0
    assert last.start * frame + len(last.samples) == samples
    if len(cut) > 1:
        assert (length - 1) * frame < len(last.samples) <= length * frame
        assert cut[-2].start < last.start <= cut[-2].start + length - overlap
    else:
        assert samples <= length * frame


def test_windows_keep_little_of_endless_audio():
    """A window comes as soon as the sample after it, and needs no more than that."""
    given = 0

    def endless():
        nonlocal given
        while True:
            given += 10
            yield np.zeros(10, "float32")

    cut = windows(endless(), length=5, overlap=2, frame=10)
    for number in range(50):
        assert next(cut).start == 3 * number
        assert given == 10 * (3 * number + 6)


@pytest.mark.parametrize("blocks", [[], [np.zeros(0, "float32")]])
def test_no_audio_is_one_empty_window(blocks):
    (window,) = windows(blocks, length=5, overlap=2, frame=10)
    assert window.is_last
    assert len(window.samples) == 0
