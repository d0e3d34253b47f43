"""One transcript from windows that overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from keras_contextnet.litert.greedy import Emission, GreedyDecoder
from keras_contextnet.litert.windows import Window


def decode_windows(
    windows: Iterable[Window],
    encode: Callable[[np.ndarray], np.ndarray],
    decoder: GreedyDecoder,
    length: int,
    overlap: int,
    pause: int,
) -> Iterator[Emission]:
    """Yields the tokens of audio in windows, as if its frames came from one encoder run.

    Of each window, the frames from one seam to the next are used. The decoder goes on over a seam
    with the tokens before it, so a word may begin on one side and end on the other. A seam in a
    pause begins a new text instead: predictors are trained on single utterances, and one that has
    fallen silent after too many tokens would stay so.

    Args:
        windows: the windows, in order, of `length` frames.
        encode: function from samples (samples,) to frames (T, units), the signature `encode`.
        decoder: the `GreedyDecoder`.
        length: int, frames. Of a window.
        overlap: int, frames. Of a window and the next.
        pause: int, frames. With no tokens so near to it, a seam is in a pause.
    """
    first, context = 0, decoder.start()
    for window in windows:
        frames = encode(window.samples)[first - window.start :]
        emissions = list(decoder.decode(frames, context, first))
        if not window.is_last:
            first, distance = _seam(window.start + length, overlap, emissions)
            emissions = [emission for emission in emissions if emission.frame < first]
            if distance >= pause:
                context = decoder.start()
            elif emissions:
                context = emissions[-1].context
        yield from emissions


def _seam(end: int, overlap: int, emissions: Sequence[Emission]) -> tuple[int, float]:
    """Returns the frame from which on the next window is used, and its distance from any token.

    This window ends with the frame `end`.

    The two windows may emit a token some frames apart, and their frames are poor near their edges.
    So it is the frame that is farthest from any token, of those that are a quarter of the overlap
    or more from either edge. Tokens past that count as being right there.
    """
    low, high = end - overlap * 3 // 4, end - overlap // 4
    candidates = np.arange(low, high + 1)
    tokens = np.array([low - 1, *(emission.frame for emission in emissions), high])
    # The seam at frame s lies between the frames s - 1 and s.
    distances = np.abs(candidates[:, np.newaxis] - 0.5 - tokens).min(axis=1)
    best = distances.argmax()
    return int(candidates[best]), float(distances[best])
