"""What an exported `.tflite` file says about itself, and whether it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

FILE_IDENTIFIER = b"TFL3"  # of TFLite's flatbuffers
METADATA, TOKENS = "metadata.json", "tokens.txt"  # in the zip archive behind the flatbuffer

# What zipfile raises for archives with wrong bytes in them.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class LiteRTFileError(ValueError):
    """A file that is not what `ContextNet.export` wrote; the message names it."""


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what an exported `.tflite` file says about itself.

    Args:
        path: a file that `ContextNet.export(path, format="litert")` wrote.

    Returns:
        The contents of the file's `metadata.json`, and besides, under "tokens", its vocabulary: a
        list of the piece of each token id, or None for a model without tokenizer. Among the rest
        are `name`, `sample_rate` (Hz), `frame_seconds` (seconds of one frame of the encoder),
        `blank_id`, `vocabulary_size` (the blank included), `quantization` and `license`.

    Raises:
        LiteRTFileError: if the file is missing, cut off, damaged, or another program's.

    Example:

    ```python
    import tempfile

    import keras_contextnet as kc

    model = kc.ContextNet.from_nemo("stt_en_contextnet_256.nemo")
    with tempfile.TemporaryDirectory() as folder:
        model.export(f"{folder}/asr.tflite", format="litert")
        metadata = kc.litert.read_metadata(f"{folder}/asr.tflite")
    assert metadata["sample_rate"] == 16000
    assert metadata["tokens"] == model.tokenizer.pieces
    ```
    """
    path = Path(path)
    _check_front(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            files = {name: archive.read(name) for name in names if name in (METADATA, TOKENS)}
        metadata = json.loads(files[METADATA])
        tokens = files[TOKENS].decode("utf-8") if TOKENS in files else None
    except ZIP_ERRORS as error:
        raise LiteRTFileError(
            "Expected a whole .tflite file that ContextNet.export wrote, which ends with a zip "
            f"archive of its metadata. Received: {path} ({_reason(error)}): it is cut off, damaged "
            "or another program's. Copy or export it again."
        ) from error
    _check_fields(path, metadata)
    _check_graph(path, metadata)
    # Line i is the piece of the token id i; other characters than \n may count as line breaks.
    return {**metadata, "tokens": None if tokens is None else tokens.split("\n")[:-1]}


# What a program needs to run the graph, and the type of each.
FIELDS = {
    "sample_rate": int,
    "frame_seconds": float,
    "max_symbols_per_frame": int,
    "blank_id": int,
    "vocabulary_size": int,
    "state_size": int,
    "signatures": dict,
}


def _check_front(path: Path) -> None:
    if not path.is_file():
        what = "which is a folder" if path.is_dir() else "which does not exist"
        raise LiteRTFileError(f"Expected a .tflite file. Received: {path}, {what}.")
    with open(path, "rb") as file:
        front = file.read(8)
    if front[4:] != FILE_IDENTIFIER:
        what = "which is empty (0 bytes)" if not front else f"which begins with {front!r}"
        raise LiteRTFileError(
            "Expected a .tflite file, which has the bytes b'TFL3' after its first four. "
            f"Received: {path}, {what}."
        )


def _check_fields(path: Path, metadata: Any) -> None:
    for name, kind in FIELDS.items():
        value = metadata.get(name) if isinstance(metadata, dict) else None
        if not isinstance(value, (int, float) if kind is float else kind):
            raise LiteRTFileError(
                f"Expected a metadata.json with {name!r} of type {kind.__name__}. Received: "
                f"{value!r} in {path}. Export the model again with this version."
            )


def _check_graph(path: Path, metadata: dict[str, Any]) -> None:
    """Sees to it that the runtime, which trusts the numbers in a graph, gets a whole one."""
    if "graph_sha256" not in metadata:
        return
    digest, left = hashlib.sha256(), metadata["graph_bytes"]
    with open(path, "rb") as file:
        while block := file.read(min(left, 1 << 20)):
            digest.update(block)
            left -= len(block)
    if left or digest.hexdigest() != metadata["graph_sha256"]:
        raise LiteRTFileError(
            f"Expected the bytes that ContextNet.export wrote. Received: {path}, which has been "
            "changed or damaged since (SHA-256). Copy or export it again."
        )


def _reason(error: Exception) -> str:
    missing = isinstance(error, KeyError) and error.args == (METADATA,)
    return "it has no metadata.json" if missing else f"{type(error).__name__}: {error}"
