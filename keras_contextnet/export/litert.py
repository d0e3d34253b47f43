"""Export to LiteRT (TensorFlow Lite): one file that phones run."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_contextnet.atomic_write import new_file
from keras_contextnet.export.encode_signature import cut_encode_signature
from keras_contextnet.export.four_axes import run_encoder_on_four_axes
from keras_contextnet.export.integer_encoder import quantize_encoder
from keras_contextnet.export.layer_names import find_layers
from keras_contextnet.export.litert_model import make_default, read_model, write_model
from keras_contextnet.export.masks_as_products import turn_masks_into_products
from keras_contextnet.export.recordings import load_recordings
from keras_contextnet.export.saved_model import require_tensorflow, save_signatures
from keras_contextnet.export.signatures import make_merged_signatures
from keras_contextnet.export.small_weights import store_float16, store_int8
from keras_contextnet.export.tflite_metadata import attach_tflite_metadata
from keras_contextnet.export.verify import Agreement, compare, judge
from keras_contextnet.export.vocabulary import append_files, metadata, to_json, tokens_text
from keras_contextnet.litert.model_file import METADATA, TOKENS
from keras_contextnet.silence import silent_stderr

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet

QUANTIZATIONS = (None, "float16", "dynamic_int8", "int8")


def export_litert(
    model: ContextNet,
    path: str | os.PathLike[str],
    quantization: str | None = None,
    calibration: Any = None,
    keep_float: str | Sequence[str] = (),
    verify: Any = None,
    on_difference: str = "error",
    word_error_limit: float = 0.02,
    license: str | None = None,
) -> Agreement | None:
    """Writes a `.tflite` file that turns waveforms into token ids, with built-in operators only.

    The signature `transcribe` is that of `export_saved_model`, and so are `encode`, `predict` and
    `join`, for programs that decode by themselves; all share one copy of the weights. The file is a
    zip archive as well (TFLite metadata's associated files): `tokens.txt` holds the vocabulary, one
    piece a line, and `metadata.json` the sample rate, the blank and the like, which
    `keras_contextnet.litert.read_metadata` returns. The same `tokens.txt` is written beside the
    file. A model without tokenizer is exported without `tokens.txt`.

    Args:
        model: `ContextNet`, of float32.
        path: where to; it ends in `.tflite`.
        quantization: None for float32; "float16" for weights of half the size; "dynamic_int8" for
            weights of a quarter, where dense layers also quantise their inputs as they come; "int8"
            for an encoder that computes in integers, with ranges found on `calibration`. The front
            end, the averages of squeeze-and-excitation and the logits stay in float.
        calibration: for "int8": audio file, waveform, `Utterance`, or a list of them. A dozen
            utterances that are like what the model will hear.
        keep_float: names of layers that quantization leaves alone, such as "block_0" (see
            `model.encoder.summary()`), "block_0/conv_0", "predictor" or
            "joiner/output_projection".
        verify: audio, as `calibration`, on which the file is run and compared with the model
            before it is put in its place. Without `quantization`, and with "float16", the tokens
            have to be the same.
        on_difference: "error" or "warn": what to do where `verify` finds a difference.
        word_error_limit: float. How much of the words of `verify` quantization may change: by how
            much the word error rate moves, where utterances come with their text, or else the rate
            of words that differ from the model's own.
        license: what the file says of its licence, such as "CC-BY-4.0".

    Returns:
        What `verify` found, or None without it.

    Raises:
        RuntimeError: under another Keras backend than TensorFlow.
        ImportError: where `verify` or "int8" needs a package that is not installed.
        ValueError: for another ending, an unknown `quantization`, a missing `calibration`, a model
            that does not compute in float32, or a vocabulary with line breaks.
        ExportDifferenceError: where `verify` finds a difference; nothing is written then.
        FileExistsError: where `path` is new and the `tokens.txt` beside it another model's.

    Example:

    ```python
    import tempfile

    import numpy as np

    import keras_contextnet as kc
    from keras_contextnet.export import export_litert

    model = kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=[{"filters": 16, "num_convs": 1, "strides": 2}]),
        predictor=kc.Predictor(vocabulary_size=28, embedding_size=16, units=16),
        joiner=kc.Joiner(vocabulary_size=28, units=16),
        tokenizer=kc.text.CharacterTokenizer("abcdefghijklmnopqrstuvwxyz "),
    )
    audio = np.random.default_rng(0).normal(size=16000).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        found = export_litert(model, f"{folder}/asr.tflite", verify=audio)
        print(found.equal, "of", found.recordings)  # 1 of 1
    ```
    """
    require_tensorflow()
    path = Path(path)
    _check_path(path)
    _check_options(quantization, calibration, on_difference)
    _check_float32(model)
    _check_names(model)
    if calibration is not None:
        calibration = load_recordings(model, calibration, "calibration").waveforms
    if verify is not None:
        verify = load_recordings(model, verify, "verify")
    about = metadata(model, quantization, license)
    files = {}
    if model.tokenizer is not None:
        files[TOKENS] = tokens_text(model.tokenizer)
        _refuse_other_tokens(path, files[TOKENS])
    converted = _quantize(model, _convert(model), quantization, calibration, keep_float)
    cut_encode_signature(converted)
    make_default(converted, "transcribe")
    attach_tflite_metadata(converted, about, [METADATA, *files])
    graph = write_model(converted)
    about |= {"graph_bytes": len(graph), "graph_sha256": hashlib.sha256(graph).hexdigest()}
    agreement = None
    with new_file(path) as new:
        new.write_bytes(graph)
        append_files(new, {METADATA: to_json(about), **files})
        if verify is not None:
            agreement = compare(model, new, verify)
            judge(agreement, quantization, on_difference, word_error_limit)
    if TOKENS in files:
        with new_file(path.with_name(TOKENS)) as new:
            new.write_bytes(files[TOKENS].encode("utf-8"))
    return agreement


def _convert(model: ContextNet) -> Any:
    """Returns the model's functions as a `ModelT`, laid out for LiteRT's fast kernels."""
    # What `tf.lite.TFLiteConverter` calls: that loads the SavedModel twice before, to look at it,
    # which takes as long as the conversion.
    from tensorflow.lite.python.convert import convert_saved_model

    # By way of a SavedModel: a function on its own converts without its weights' values.
    with tempfile.TemporaryDirectory() as folder:
        saved_model = Path(folder) / "saved_model"
        signatures = make_merged_signatures(model)
        save_signatures(model, signatures, saved_model)
        with silent_stderr():
            content = convert_saved_model(
                saved_model_dir=str(saved_model),
                saved_model_version=1,
                saved_model_tags={"serve"},
                saved_model_exported_names=list(signatures),
            )
    converted = read_model(content)
    _number_subgraphs(converted)
    turn_masks_into_products(converted, _path(model, model.encoder))
    run_encoder_on_four_axes(converted, _path(model, model.encoder))
    return converted


def _path(model: ContextNet, part: Any) -> str:
    """Where a part of the model is in the graph."""
    return f"{model.name}/{part.name}"


def _quantize(
    model: ContextNet,
    converted: Any,
    quantization: str | None,
    calibration: list[np.ndarray] | None,
    keep_float: str | Sequence[str],
) -> Any:
    tensors = [tensor.name.decode() for graph in converted.subgraphs for tensor in graph.tensors]
    # Rounded filters would change the features, and they are a hundredth of the file.
    keep_float = [_path(model, model.frontend), *find_layers(model, keep_float, tensors)]
    if quantization == "int8":
        encoder = _path(model, model.encoder)
        converted = quantize_encoder(converted, encoder, calibration, keep_float)
    if quantization == "float16":
        store_float16(converted, keep_float)
    elif quantization is not None:
        store_int8(converted, keep_float)
    return converted


def _number_subgraphs(converted: Any) -> None:
    """Names subgraphs after their place: TensorFlow's numbers are others each time."""
    signatures = {signature.subgraphIndex for signature in converted.signatureDefs}
    for index, graph in enumerate(converted.subgraphs):
        if index in signatures:
            continue
        old, graph.name = graph.name, re.sub(rb"_\d+$", b"", graph.name) + b"_%d" % index
        for tensor in graph.tensors:
            tensor.name = tensor.name.replace(old, graph.name)


def _check_path(path: Path) -> None:
    if path.suffix != ".tflite":
        raise ValueError(f"Expected `path` to end in .tflite. Received: path={str(path)!r}")
    if path.is_dir():
        raise ValueError(f"Expected `path` to be a file. Received: {path}, which is a folder.")


def _check_options(quantization: str | None, calibration: Any, on_difference: str) -> None:
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"Expected `quantization` to be one of {QUANTIZATIONS}. Received: "
            f"quantization={quantization!r}"
        )
    if (quantization == "int8") == (calibration is None):
        raise ValueError(
            'Expected `calibration`, audio that shows the ranges of activations, with "int8" and '
            f"only with it. Received: quantization={quantization!r}, "
            f"calibration={'None' if calibration is None else 'audio'}"
        )
    if on_difference not in ("error", "warn"):
        raise ValueError(
            'Expected `on_difference` to be "error" or "warn". Received: '
            f"on_difference={on_difference!r}"
        )


def _check_names(model: ContextNet) -> None:
    """TensorFlow numbers names, so that it would make one of names that differ in a number."""
    encoder, frontend = (re.sub(r"_\d+$", "", p.name) for p in (model.encoder, model.frontend))
    if encoder == frontend:
        raise ValueError(
            "Expected an encoder and a front end with different names, by which they are told "
            f"apart in the graph. Received: {model.encoder.name!r} and {model.frontend.name!r}"
        )


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
