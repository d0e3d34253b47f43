"""What a LiteRT file carries beside its graph: the vocabulary, and how to call it."""

from __future__ import annotations

import json
import os
import zipfile
from typing import TYPE_CHECKING, Any

from keras_contextnet.export.signatures import SIGNATURES, state_size
from keras_contextnet.litert.model_file import TOKENS

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet
    from keras_contextnet.text import Tokenizer


def tokens_text(tokenizer: Tokenizer) -> str:
    """Returns the pieces of `tokenizer`, one a line: line i (from 0) is the token id i.

    Raises:
        ValueError: for a piece that holds a line break.
    """
    pieces = tokenizer.pieces
    for index, piece in enumerate(pieces):
        if "\n" in piece or "\r" in piece:
            raise ValueError(
                f"Expected pieces without line breaks, to write one a line to {TOKENS}. Received: "
                f"piece {index} of `tokenizer` is {piece!r}."
            )
    return "".join(f"{piece}\n" for piece in pieces)


def metadata(
    model: ContextNet, quantization: str | None = None, license: str | None = None
) -> dict[str, Any]:
    """Returns what a program must know to call the exported `model`, as JSON-able values."""
    from keras_contextnet import __version__

    sample_rate = getattr(model.frontend, "sample_rate", None)  # Hz
    hop_seconds = getattr(model.frontend, "hop_seconds", None)
    return {
        "name": model.name,
        "keras_contextnet_version": __version__,
        "license": license,
        "quantization": quantization,
        "sample_rate": sample_rate,
        "hop_seconds": hop_seconds,
        "frame_seconds": hop_seconds and hop_seconds * model.encoder.time_reduction,
        "max_symbols_per_frame": model.max_symbols_per_frame,
        "blank_id": model.blank_id,
        "vocabulary_size": model.joiner.vocabulary_size,
        "state_size": state_size(model),
        "vocabulary": None if model.tokenizer is None else TOKENS,
        "pieces": _kind_of_pieces(model.tokenizer),
        "signatures": SIGNATURES,
    }


def _kind_of_pieces(tokenizer: Tokenizer | None) -> str | None:
    """How pieces become text: as SentencePiece has it, or one behind the other."""
    from keras_contextnet.text import CharacterTokenizer

    if tokenizer is None:
        return None
    return "characters" if isinstance(tokenizer, CharacterTokenizer) else "sentencepiece"


def append_files(path: str | os.PathLike[str], files: dict[str, str]) -> None:
    """Appends a zip archive to a `.tflite` file, which is how TFLite metadata associates files.

    The interpreter reads the file from its front and never sees the archive; every zip reader finds
    it from the end.
    """
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in files.items():
            # A fixed date: the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), text.encode("utf-8"))


def to_json(about: dict[str, Any]) -> str:
    """Returns metadata as the text of `metadata.json`."""
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"
