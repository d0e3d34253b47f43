"""keras-contextnet export: a trained model to a file for phones or servers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_contextnet_cli.session import BeamWidth, Model, load_model, report, session

if TYPE_CHECKING:
    import numpy as np

    from keras_contextnet import ContextNet
    from keras_contextnet.data import Utterance
    from keras_contextnet.export import Agreement

MEASURED_SECONDS = 10
THREADS = (1, 2)


class Format(str, Enum):
    """The formats of `ContextNet.export`."""

    litert = "litert"
    tf_saved_model = "tf_saved_model"


class Quantization(str, Enum):
    """How a LiteRT file keeps its weights."""

    float16 = "float16"
    dynamic_int8 = "dynamic_int8"
    int8 = "int8"


class OnDifference(str, Enum):
    """What to do with a file that transcribes otherwise than its model."""

    error = "error"
    warn = "warn"


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="Where to: a .tflite file, or a folder for a SavedModel.",
            show_default=False,
        ),
    ],
    format: Annotated[
        Format | None,
        typer.Option(
            help="litert: one file of built-in LiteRT operators, with its vocabulary inside and in "
            "tokens.txt beside it. tf_saved_model: a folder for TensorFlow and TF Serving.",
            show_default="litert for a name that ends in .tflite, or tf_saved_model",
        ),
    ] = None,
    quantization: Annotated[
        Quantization | None,
        typer.Option(
            help="For litert. float16: half the size, computed with in float32. dynamic_int8: a "
            "quarter, and faster. int8: an encoder of integers, which needs --calibration.",
            show_default="float32",
        ),
    ] = None,
    calibration: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            help="For int8: an audio file like what will be heard, or a manifest of some. Repeat.",
            show_default=False,
        ),
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="A layer that quantization leaves alone, such as block_0. Repeat.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            help="For litert: an audio file, or a manifest of some, on which the file is run and "
            "compared with the model. Repeat.",
            show_default="ten recordings that come with the package",
        ),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not run the file, nor measure it.")
    ] = False,
    on_difference: Annotated[
        OnDifference,
        typer.Option(help="What to do if the file transcribes otherwise than the model."),
    ] = OnDifference.error,
    word_error_limit: Annotated[
        float,
        typer.Option(min=0, help="How much of the words 8-bit weights may change."),
    ] = 0.02,
    beam_width: BeamWidth = None,
    license: Annotated[
        str | None,
        typer.Option(help="What the file says of its licence.", show_default=False),
    ] = None,
) -> None:
    """Convert a model to LiteRT (TFLite) or a TensorFlow SavedModel.

    Both take waveforms (float32, mono) and their lengths in samples, and return token ids, their
    count and their frames, the same as the model itself. A LiteRT file is run on speech before it
    is put in its place, and its size, speed and memory are printed; that needs ai-edge-litert.

    Example: keras-contextnet export runs/my_model/preset asr.tflite --quantization dynamic_int8
    """
    if format is None:
        format = Format.litert if output.suffix == ".tflite" else Format.tf_saved_model
    options: dict[str, Any] = {
        "quantization": None if quantization is None else quantization.value,
        "calibration": calibration,
        "keep_float": keep_float,
        "verify": verify,
        "license": license,
    }
    if format is not Format.litert:
        for name, value in options.items():
            if value:
                hint = f"--{name.replace('_', '-')}"
                raise typer.BadParameter("is for --format litert.", param_hint=hint)
    with session():
        loaded = load_model(model, beam_width)
        if format is Format.tf_saved_model:
            _convert(loaded, output, format)
            files = [file for file in output.rglob("*") if file.is_file()]
            size = sum(file.stat().st_size for file in files)
            typer.echo(f"{output} (tf_saved_model, {size / 1e6:.1f} MB)")
            return
        recordings = [] if no_verify else _recordings_to_verify(verify)
        options |= {
            "calibration": _recordings(calibration) if calibration else None,
            "keep_float": keep_float or (),
            "verify": recordings or None,
            "on_difference": on_difference.value,
            "word_error_limit": word_error_limit,
        }
        agreement = _convert(loaded, output, format, **options)
        rows = []
        if agreement is not None:
            rows += _cost_rows(
                output, _ten_seconds(loaded, recordings), loaded.frontend.sample_rate
            )
            rows += _agreement_rows(agreement)
        _print_table(output, rows)


def _convert(model: ContextNet, output: Path, format: Format, **options: Any) -> Agreement | None:
    from rich.console import Console

    with Console(stderr=True).status(f"Converting {model.count_params():,} parameters"):
        return model.export(output, format=format.value, **options)


def _recordings_to_verify(given: list[Path] | None) -> list[Utterance | Path]:
    from importlib.util import find_spec

    from keras_contextnet.data import example_utterances

    if given:
        return _recordings(given)
    if find_spec("ai_edge_litert") is None:
        report(
            "Warning: the file was not run, since ai-edge-litert is not installed. Install it "
            'with: pip install "keras-contextnet[litert]"'
        )
        return []
    # Without their texts: a model of another language is compared with itself.
    return [utterance.audio for utterance in example_utterances()]


def _recordings(paths: list[Path]) -> list[Utterance | Path]:
    from keras_contextnet.data import read_manifest

    recordings: list[Utterance | Path] = []
    for path in paths:
        recordings += read_manifest(path) if path.suffix in (".json", ".jsonl") else [path]
    return recordings


def _ten_seconds(model: ContextNet, recordings: list[Utterance | Path]) -> np.ndarray:
    """About as much of the recordings, one behind the other."""
    import numpy as np

    from keras_contextnet.decoding.transcribe import load_recording

    samples = MEASURED_SECONDS * model.frontend.sample_rate
    waveforms, length = [], 0
    for recording in recordings:
        audio = getattr(recording, "audio", recording)
        waveforms.append(load_recording(model, audio, model.frontend.sample_rate))
        length += len(waveforms[-1])
        if length >= samples:
            break
    return np.concatenate(waveforms)[:samples]


def _print_table(path: Path, rows: list[tuple[str, str]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from keras_contextnet.export import litert_operators

    operators = litert_operators(path)
    table = Table("", str(path), box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_row("size", f"{path.stat().st_size / 1e6:.2f} MB")
    table.add_row("operators", f"{sum(operators.values())} of {len(operators)} kinds, all built in")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _agreement_rows(agreement: Agreement) -> list[tuple[str, str]]:
    rows = [
        ("tokens", f"the model's on {agreement.equal} of {agreement.recordings}"),
        ("words changed", f"{agreement.changed_words:.2%}"),
    ]
    if agreement.model_word_errors is not None:
        rates = (agreement.model_word_errors, agreement.file_word_errors)
        rows.append(("WER of model, file", ", ".join(f"{rate:.2%}" for rate in rates)))
    return rows


def _cost_rows(path: Path, waveform: np.ndarray, sample_rate: int) -> list[tuple[str, str]]:
    from keras_contextnet.litert.measure import measure

    costs = [measure(path, waveform, sample_rate, threads) for threads in THREADS]
    rows = [
        (f"real-time factor, {threads} thread{'s' * (threads > 1)}", f"{cost.real_time_factor:.4f}")
        for threads, cost in zip(THREADS, costs, strict=True)
    ]
    if costs[0].peak_memory is not None:
        rows.append(("peak memory", f"{costs[0].peak_memory:.0f} MB"))
    audio = f"{costs[0].seconds:.0f} s of audio, {costs[0].tokens} tokens"
    return [("measured on", audio), *rows]
