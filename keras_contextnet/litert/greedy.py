"""Greedy decoding of encoder frames that come in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Context(NamedTuple):
    """What the tokens so far are to the next one: two outputs of the signature `predict`."""

    prediction: np.ndarray  # (1, units)
    state: np.ndarray  # (1, state_size)


class Emission(NamedTuple):
    """A token id, the frame that emitted it, and the context after it."""

    token: int
    frame: int
    context: Context


class GreedyDecoder:
    """Finds the tokens that the signature `transcribe` finds, from frames.

    Args:
        predict: function of `token` (1,) and `state` (1, state_size), the signature `predict`.
        join: function of `frame` (1, units) and `prediction` (1, units), the signature `join`.
        metadata: the file's metadata.
    """

    def __init__(
        self, predict: Callable[..., Any], join: Callable[..., Any], metadata: dict[str, Any]
    ) -> None:
        self._predict, self._join = predict, join
        self._blank = metadata["blank_id"]
        self._max_symbols = metadata["max_symbols_per_frame"]
        self._state_size = metadata["state_size"]

    def start(self) -> Context:
        """Returns the context of the first token."""
        return self._after(self._blank, np.zeros((1, self._state_size), "float32"))

    def decode(self, frames: np.ndarray, context: Context, first: int) -> Iterator[Emission]:
        """Yields the tokens of frames (T, units), which `first` frames and `context` precede."""
        for index in range(len(frames)):
            frame = frames[index : index + 1]  # (1, units)
            for _ in range(self._max_symbols):
                logits = self._join(frame=frame, prediction=context.prediction)["logits"]
                token = int(logits[0].argmax())
                if token == self._blank:
                    break
                context = self._after(token, context.state)
                yield Emission(token, first + index, context)

    def _after(self, token: int, state: np.ndarray) -> Context:
        outputs = self._predict(token=np.array([token], "int32"), state=state)
        return Context(outputs["prediction"], outputs["next_state"])
