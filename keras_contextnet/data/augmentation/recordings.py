"""Recordings that are drawn at random and kept decoded, as many as memory is set aside for."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_contextnet.data.audio import audio_duration, load_audio

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


class Recordings:
    """Audio files, decoded when they are first drawn. Threads may share one.

    Args:
        files: The files, or a folder that is searched for them, subfolders too.
        cache_seconds: How many seconds are kept decoded: of the recordings drawn last.
    """

    def __init__(
        self, files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], cache_seconds: float
    ):
        if not cache_seconds >= 0:
            raise ValueError(
                f"Expected cache_seconds to be at least 0. Received: {cache_seconds!r}."
            )
        self.files = _find(files)
        # A header says early what a run would else end with, hours later.
        for file in self.files:
            audio_duration(file)
        self.cache_seconds = cache_seconds
        self._decoded: OrderedDict[tuple[Path, int], np.ndarray] = OrderedDict()
        self._seconds = 0.0
        self._lock = threading.Lock()

    def draw(self, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
        """Returns one of the recordings, `(samples,)` float32, read-only, at `sample_rate`."""
        key = self.files[generator.integers(len(self.files))], sample_rate
        with self._lock:
            if key in self._decoded:
                self._decoded.move_to_end(key)
                return self._decoded[key]
        recording = load_audio(*key)
        recording.flags.writeable = False
        with self._lock:
            self._keep(key, recording)
        return recording

    def _keep(self, key: tuple[Path, int], recording: np.ndarray) -> None:
        if key in self._decoded or len(recording) / key[1] > self.cache_seconds:
            return
        self._decoded[key] = recording
        self._seconds += len(recording) / key[1]
        while self._seconds > self.cache_seconds and len(self._decoded) > 1:
            (_, rate), dropped = self._decoded.popitem(last=False)
            self._seconds -= len(dropped) / rate


def _find(files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if isinstance(files, str | os.PathLike):
        folder = Path(files)
        # Sorted: the same draws on every file system.
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            raise ValueError(
                f"Expected a folder with audio files ({', '.join(SUFFIXES)}), or a list of files. "
                f"Received: {folder}, which has none."
            )
        return found
    found = [Path(file) for file in files]
    missing = [str(file) for file in found if not file.is_file()]
    if missing or not found:
        raise ValueError(
            "Expected at least one audio file, and each to exist. Received: "
            + (f"{missing[0]}, no file." if missing else "an empty list.")
        )
    return found
