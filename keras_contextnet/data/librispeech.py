"""LibriSpeech's folders: speaker/chapter/*.trans.txt beside FLAC files."""

from __future__ import annotations

import os
from pathlib import Path

from keras_contextnet.data.audio import audio_duration
from keras_contextnet.data.manifest import ManifestError, Utterance


def read_librispeech(folder: str | os.PathLike[str]) -> list[Utterance]:
    """Reads a LibriSpeech subset as it is unpacked, such as `LibriSpeech/dev-clean`.

    Args:
        folder: The folder with one folder per speaker in it, or any folder above it.

    Returns:
        A list of `Utterance`, sorted by id, with lower-case transcripts.

    Raises:
        ManifestError: If there is no transcript in `folder`, or one that has no audio.

    Reference:
        Panayotov et al., 2015, LibriSpeech, https://www.openslr.org/12
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ManifestError(f"Expected a LibriSpeech folder. Received: {folder}, no folder.")
    utterances = []
    for transcripts in folder.rglob("*.trans.txt"):
        lines = transcripts.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            where = f"{transcripts}, line {number}"
            name, _, text = line.strip().partition(" ")
            if not text:
                raise ManifestError(f"{where}: Expected an id and a text. Received: {line!r}.")
            audio = transcripts.parent / f"{name}.flac"
            if not audio.is_file():
                raise ManifestError(f"{where}: Expected an audio file. Received: {audio}, no file.")
            utterances.append(
                Utterance(
                    id=name,
                    audio=audio,
                    text=text.lower(),
                    duration=audio_duration(audio),
                    speaker=name.split("-")[0],
                )
            )
    if not utterances:
        raise ManifestError(
            f"Expected speaker/chapter/*.trans.txt in a LibriSpeech folder. Received: {folder}, "
            "which has none."
        )
    return sorted(utterances, key=lambda utterance: utterance.id)
