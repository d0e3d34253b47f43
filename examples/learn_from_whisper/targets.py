"""What a teacher makes of recordings, on disk, and stretched to recordings of another tempo."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_contextnet.atomic_write import new_folder
from keras_contextnet.data import Utterance, load_audio

_MOST_DEVIATIONS = 5.0  # a few channels of Whisper's have values far out


def write_targets(
    utterances: Sequence[Utterance], encode: Callable[[np.ndarray], np.ndarray], folder: Path
) -> None:
    """Writes what a teacher makes of each recording.

    Args:
        utterances: whose recordings, each of another id.
        encode: from a waveform at 16 kHz to (frames, channels).
        folder: where to; it appears when all is done.
    """
    with new_folder(folder) as new:
        begins, at = {}, 0
        with open(new / "targets.f16", "wb") as file:
            for utterance in utterances:
                encoded = encode(load_audio(utterance.audio)).astype("float16")
                file.write(encoded.tobytes())
                begins[utterance.id] = (at, len(encoded))
                at += len(encoded)
        description = {"channels": encoded.shape[1], "begins": begins}
        (new / "targets.json").write_text(json.dumps(description), "utf-8")


class Targets:
    """Targets that `write_targets` wrote, each channel of mean 0 and deviation 1.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        description = json.loads((folder / "targets.json").read_text("utf-8"))
        self._begins, self.channels = description["begins"], description["channels"]
        self._folder = folder
        flat = np.memmap(folder / "targets.f16", "float16", "r")
        self._frames = flat.reshape(-1, self.channels)  # (all frames, channels)
        sample = self._frames[:: max(1, len(self._frames) // 200_000)].astype("float32")
        self._mean, self._deviation = sample.mean(axis=0), sample.std(axis=0) + 1e-3

    def of(self, id: str, frames: int) -> np.ndarray:
        """Returns an utterance's targets float32 (frames, channels), at whatever tempo it has.

        Args:
            id: of the utterance.
            frames: int. How many frames the recording has now.

        Raises:
            ValueError: for an utterance that was not there when the targets were made.
        """
        if id not in self._begins:
            raise ValueError(
                f"Expected an utterance that has targets. Received: {id!r}, of which "
                f"{self._folder} has none. Remove that folder, so that it is made anew."
            )
        begin, count = self._begins[id]
        place = np.clip((np.arange(frames) + 0.5) * count / frames - 0.5, 0, count - 1)
        before = place.astype(int)
        share = (place - before)[:, None].astype("float32")
        own = self._frames[begin : begin + count].astype("float32")
        after = np.minimum(before + 1, count - 1)
        stretched = own[before] * (1 - share) + own[after] * share
        normal = (stretched - self._mean) / self._deviation
        return np.clip(normal, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)
