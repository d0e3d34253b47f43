"""What every command does around its work: a quiet Keras, errors in one line, models and data."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_contextnet.silence import silent_stderr

if TYPE_CHECKING:
    from keras_contextnet import ContextNet
    from keras_contextnet.data import Utterance

MODELS = (
    "The model: a folder that `train` or `save_to_preset` wrote, hf://user/model on the Hugging "
    "Face Hub, the name of a preset"
)
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help=f"{MODELS}.", show_default=False),
]
Recogniser = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=f"{MODELS}, or a .tflite file that `export` wrote, which ai-edge-litert runs.",
        show_default=False,
    ),
]

BeamWidth = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Transcripts that decoding follows at once; 1 is greedy, 4 makes fewer errors.",
        show_default="the model's",
    ),
]


@contextmanager
def session(keras: bool = True) -> Iterator[None]:
    """Runs a command's work: exits with 1, and one line on stderr, where it cannot be done.

    Args:
        keras: whether the work takes Keras, whose import says things that nobody asked for.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if keras:
        # What TensorFlow's C++ prints while it is imported, before it reads its log level.
        with silent_stderr():
            import keras_contextnet.models  # noqa: F401
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    except Exception as error:
        # What a data pipeline raises arrives as TensorFlow's error, with a traceback as its text.
        cause = re.search(r"^(?:\w+\.)*(?:AudioError|ValueError): (.+)$", str(error), re.MULTILINE)
        if cause is None:
            raise
        fail(cause[1])


def fail(message: str) -> None:
    """Prints an error in one line and exits with 1."""
    report(f"Error: {message}")
    raise typer.Exit(1)


def report(message: str) -> None:
    """Prints one line on stderr."""
    typer.echo(" ".join(message.split()), err=True)


def load_model(model: str, beam_width: int | None = None, **overrides: Any) -> ContextNet:
    """Loads a MODEL argument, with its own beam width if None is given."""
    from keras_contextnet import ContextNet

    if beam_width is not None:
        overrides["beam_width"] = beam_width
    return ContextNet.from_preset(model, **overrides)


def read_utterances(sources: Sequence[Path], split: str | None = None) -> list[Utterance]:
    """Reads manifests and LibriSpeech folders, one after the other."""
    from keras_contextnet.data import read_librispeech, read_manifest

    utterances = []
    for source in sources:
        if source.is_dir():
            utterances += read_librispeech(source)
        else:
            utterances += read_manifest(source, split)
    return utterances


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if not issubclass(category, (DeprecationWarning, FutureWarning)):
        report(f"Warning: {message}")
