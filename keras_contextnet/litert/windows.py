"""Long audio as windows that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """One window of audio.

    Attributes:
        start: int, frames. Where it begins in the audio.
        samples: float32 (samples,).
        is_last: bool. Whether the audio ends with it.
    """

    start: int
    samples: np.ndarray
    is_last: bool


def windows(
    blocks: Iterable[np.ndarray], length: int, overlap: int, frame: int
) -> Iterator[Window]:
    """Cuts audio that comes in blocks into windows of one length, however long the audio is.

    Args:
        blocks: waveforms (samples,) that follow one another.
        length: int, frames. Of a window. Audio that is no longer comes as a single, shorter one.
        overlap: int, frames. Of a window and the one before. The last window is moved forward to
            be as long as the others (but for less than a frame), and so overlaps more.
        frame: int, samples. The windows begin at multiples of it.

    Yields:
        The windows, in order.
    """
    size, step = length * frame, (length - overlap) * frame  # samples
    start, audio = 0, np.zeros(0, "float32")
    following = 0  # samples of `audio` before the next window
    for block in blocks:
        audio = np.concatenate([audio, block])
        while len(audio) > following + size:
            start, audio = start + following // frame, audio[following:]
            yield Window(start, audio[:size], is_last=False)
            following = step
    # What is left is longer than a window only where there was one before.
    surplus = -(-max(len(audio) - size, 0) // frame)
    yield Window(start + surplus, audio[surplus * frame :], is_last=True)
