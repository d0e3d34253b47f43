"""Export to LiteRT (TensorFlow Lite): one file that phones run."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keras_contextnet.atomic_write import new_file
from keras_contextnet.export.saved_model import SIGNATURE, export_saved_model, require_tensorflow
from keras_contextnet.export.vocabulary import (
    METADATA,
    TOKENS,
    append_files,
    metadata_json,
    tokens_text,
)

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet

QUANTIZATIONS = (None, "float16")


def export_litert(
    model: ContextNet, path: str | os.PathLike[str], quantization: str | None = None
) -> None:
    """Writes a `.tflite` file that turns waveforms into token ids, with built-in operators only.

    The signature `transcribe` is that of `export_saved_model`: any batch, any length, and the ids
    that the model itself gives. The file is a zip archive as well (TFLite metadata's associated
    files): `tokens.txt` holds the vocabulary, one piece a line, and `metadata.json` the sample
    rate, the blank and the like. The same `tokens.txt` is written beside the file. A model without
    tokenizer is exported without `tokens.txt`.

    Args:
        model: `ContextNet`, of float32.
        path: where to; it ends in `.tflite`.
        quantization: None, or "float16" for weights of half the size, computed with in float32.

    Raises:
        RuntimeError: under another Keras backend than TensorFlow.
        ValueError: for another ending, an unknown `quantization`, a model that does not compute
            in float32, or a vocabulary with line breaks.
        FileExistsError: where `path` is new and the `tokens.txt` beside it another model's.

    Example:

    ```python
    import tempfile
    import zipfile

    import keras_contextnet as kc
    from keras_contextnet.export import export_litert

    model = kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=[{"filters": 16, "num_convs": 1, "strides": 2}]),
        predictor=kc.Predictor(vocabulary_size=28, embedding_size=16, units=16),
        joiner=kc.Joiner(vocabulary_size=28, units=16),
        tokenizer=kc.text.CharacterTokenizer("abcdefghijklmnopqrstuvwxyz "),
    )
    with tempfile.TemporaryDirectory() as folder:
        export_litert(model, f"{folder}/asr.tflite")
        print(zipfile.ZipFile(f"{folder}/asr.tflite").namelist())  # ['metadata.json', 'tokens.txt']
    ```
    """
    require_tensorflow()
    path = Path(path)
    _check_path(path)
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"Expected `quantization` to be one of {QUANTIZATIONS}. Received: "
            f"quantization={quantization!r}"
        )
    _check_float32(model)
    files = {METADATA: metadata_json(model, quantization=quantization)}
    if model.tokenizer is not None:
        files[TOKENS] = tokens_text(model.tokenizer)
        _refuse_other_tokens(path, files[TOKENS])
    with new_file(path) as new:
        new.write_bytes(_convert(model, quantization))
        append_files(new, files)
    if TOKENS in files:
        with new_file(path.with_name(TOKENS)) as new:
            new.write_bytes(files[TOKENS].encode("utf-8"))


def _convert(model: ContextNet, quantization: str | None) -> bytes:
    import tensorflow as tf

    # By way of a SavedModel: a function on its own converts without its weights' values.
    with tempfile.TemporaryDirectory() as folder:
        saved_model = Path(folder) / "saved_model"
        export_saved_model(model, saved_model)
        with _silent_stderr():
            converter = tf.lite.TFLiteConverter.from_saved_model(
                str(saved_model), signature_keys=[SIGNATURE]
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            # A description of the conversion, which costs another two passes over the file.
            converter.exclude_conversion_metadata = True
            if quantization == "float16":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.target_spec.supported_types = [tf.float16]
            return converter.convert()


def _check_path(path: Path) -> None:
    if path.suffix != ".tflite":
        raise ValueError(f"Expected `path` to end in .tflite. Received: path={str(path)!r}")
    if path.is_dir():
        raise ValueError(f"Expected `path` to be a file. Received: {path}, which is a folder.")


def _check_float32(model: ContextNet) -> None:
    for part in (model.encoder, model.predictor, model.joiner):
        if part.compute_dtype != "float32":
            raise ValueError(
                "Expected a model that computes in float32, as LiteRT does. Received: "
                f"{part.name!r} has the dtype policy {part.dtype_policy.name!r}. Save the model "
                'with `save_to_preset` and load it with `from_preset(folder, dtype="float32")`.'
            )


def _refuse_other_tokens(path: Path, tokens: str) -> None:
    beside = path.with_name(TOKENS)
    if path.exists() or not beside.exists() or beside.read_bytes() == tokens.encode("utf-8"):
        return
    raise FileExistsError(
        f"Expected no {TOKENS} of another vocabulary beside `path`. Received: {beside}, which "
        "differs from this model's. Export to another folder, or remove that file."
    )


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discards what the converter's C++ prints; its errors come as exceptions all the same."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
