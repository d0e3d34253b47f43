"""Manifests: one utterance a line, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_contextnet.atomic_write import new_file


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Utterance:
    """One utterance: an audio file and its transcript.

    Args:
        id: A name, unique in its manifest.
        audio: The audio file.
        text: The transcript.
        duration: The length in seconds, if known.
        speaker: Who speaks, if known.
        split: The part of the corpus (`"train"`, `"dev"`), if any.
    """

    id: str
    audio: Path
    text: str
    duration: float | None = None
    speaker: str | None = None
    split: str | None = None


def read_manifest(path: str | os.PathLike[str], split: str | None = None) -> list[Utterance]:
    """Reads a manifest of JSON lines.

    Each line has the audio file as `"path"`, or `"audio_filepath"` as NeMo calls it, and `"text"`;
    `"duration"` (seconds), `"id"`, `"speaker"` and `"split"` are optional, and other keys are
    ignored. Paths are relative to the manifest's folder.

    Args:
        path: The manifest.
        split: Keep only the utterances of this split. Defaults to all.

    Returns:
        A list of `Utterance`, in the manifest's order.

    Raises:
        ManifestError: If the manifest or one of its lines cannot be used.

    Example:

    ```python
    from keras_contextnet.data import read_manifest

    utterances = read_manifest("examples/audio/manifest.jsonl")
    assert utterances[-1].text == "the fifth man was saved"
    ```
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(
            f"Expected a manifest, a file of JSON lines. Received: {path}, no file."
        )
    utterances = []
    try:
        # Not splitlines(), which also splits at characters that JSON strings may hold as they are.
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ManifestError(f"Expected JSON lines in UTF-8. Received: {path} ({error}).") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            utterances.append(_read_line(line, path.parent, f"{path}, line {number}"))
    if not utterances:
        raise ManifestError(f"Expected at least one utterance. Received: {path}, which is empty.")
    if split is None:
        return utterances
    chosen = [utterance for utterance in utterances if utterance.split == split]
    if not chosen:
        available = sorted({u.split for u in utterances if u.split is not None})
        raise ManifestError(
            f"Expected split to be one of {path}: {available}. Received: split={split!r}."
        )
    return chosen


def _read_line(line: str, folder: Path, where: str) -> Utterance:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"{where}: Expected JSON. Received: {line[:80]!r} ({error})."
        ) from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: Expected a JSON object. Received: {line[:80]!r}.")

    audio = entry.get("path", entry.get("audio_filepath"))
    if not isinstance(audio, str) or not audio:
        raise ManifestError(
            f'{where}: Expected the audio file as "path" or "audio_filepath". '
            f"Received: {audio!r} among the keys {sorted(entry)}."
        )
    text = entry.get("text")
    if not isinstance(text, str):
        raise ManifestError(
            f'{where}: Expected the transcript as "text", a string. '
            f"Received: {text!r} among the keys {sorted(entry)}."
        )
    if entry.get("offset"):
        raise ManifestError(
            f"{where}: Expected one file per utterance. Received: an offset of {entry['offset']} s "
            "into a longer recording. Cut the recording into files first."
        )
    audio = folder / audio
    if not audio.is_file():
        raise ManifestError(f"{where}: Expected an audio file. Received: {audio}, no file.")
    return Utterance(
        id=str(entry.get("id", audio.stem)),
        audio=audio,
        text=text,
        duration=_duration(entry.get("duration"), where),
        speaker=_optional_string(entry.get("speaker")),
        split=_optional_string(entry.get("split")),
    )


def _duration(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ManifestError(f"{where}: Expected a duration in seconds. Received: {value!r}.")
    return float(value)


def _optional_string(value: Any) -> str | None:
    return None if value is None else str(value)


def write_manifest(path: str | os.PathLike[str], utterances: Iterable[Utterance]) -> None:
    """Writes a manifest that `read_manifest` reads.

    Audio files inside the manifest's folder are written relative to it, so that the folder can be
    moved; others are written as absolute paths.

    Args:
        path: The manifest to write. Its folder is made if need be.
        utterances: The utterances.
    """
    path = Path(path)
    folder = path.parent.resolve()
    lines = []
    for utterance in utterances:
        audio = Path(os.path.abspath(utterance.audio))
        inside = audio.is_relative_to(folder)
        entry = {
            "id": utterance.id,
            "path": audio.relative_to(folder).as_posix() if inside else str(audio),
            "text": utterance.text,
            "duration": utterance.duration,
            "speaker": utterance.speaker,
            "split": utterance.split,
        }
        entry = {key: value for key, value in entry.items() if value is not None}
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    with new_file(path) as new:
        new.write_text("".join(lines), encoding="utf-8")
