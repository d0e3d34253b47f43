"""keras-contextnet convert: an NVIDIA NeMo checkpoint to a preset folder."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_contextnet_cli.session import fail, load_model, session

if TYPE_CHECKING:
    from keras_contextnet import ContextNet
    from keras_contextnet.interop.nemo import NemoCheckpoint

CHECK_SECONDS = 3.0


class Features(str, Enum):
    """Which NeMo's features a model was trained with."""

    legacy = "legacy"
    current = "current"


def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .nemo file of a ContextNet.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="The preset folder to write.", show_default=False),
    ],
    features: Annotated[
        Features | None,
        typer.Option(
            help="What the model was trained with: the features of NeMo until 2.4 (legacy; all "
            "published ContextNets) or since 2.5 (current).",
            show_default="by the version in the file",
        ),
    ] = None,
) -> None:
    """Convert an NVIDIA NeMo ContextNet to a preset, and check that it loads back the same.

    Neither NeMo nor PyTorch is needed, and nothing in the file is executed.

    Example: keras-contextnet convert stt_en_contextnet_256.nemo en_256
    """
    with session():
        from keras_contextnet.interop.nemo import NemoCheckpoint

        found = NemoCheckpoint(checkpoint)
        model = found.to_contextnet(None if features is None else features is Features.legacy)
        for line in _description(found, model):
            typer.echo(line)
        model.save_to_preset(output)
        difference = _difference_when_loaded(model, output)
        if not difference <= 1e-5:
            fail(f"{output} does not answer as the checkpoint does: {difference:.1e} apart.")
        typer.echo(f"{output}: saved; loaded back, it answers the same to {difference:.0e}")


def _description(found: NemoCheckpoint, model: ContextNet) -> list[str]:
    frontend, blocks = model.frontend, model.encoder.blocks
    legacy = frontend.pad_mode == "reflect"
    widths = sorted({block.filters for block in blocks})
    frame_ms = 1000 * frontend.hop_seconds * model.encoder.time_reduction
    return [
        f"{found.path}: ContextNet, written by NeMo {found.nemo_version or 'of unknown version'}",
        f"  features   {frontend.num_bands} log-mel bands, as NeMo "
        f"{'until 2.4' if legacy else 'since 2.5'} computes them",
        f"  encoder    {len(blocks)} blocks of {' and '.join(map(str, widths))} channels, a frame "
        f"every {frame_ms:.0f} ms",
        f"  predictor  {model.predictor.num_layers} LSTM of {model.predictor.units} units",
        f"  tokens     {model.tokenizer.vocabulary_size} of a "
        f"{type(model.tokenizer).__name__}, and the blank",
        f"  weights    {model.count_params():,}",
    ]


def _difference_when_loaded(model: ContextNet, folder: Path) -> float:
    """Largest difference of what a model and its preset make of noise; infinite for NaN."""
    import numpy as np

    samples = int(CHECK_SECONDS * model.frontend.sample_rate)
    noise = np.random.default_rng(0).normal(0.0, 0.1, (1, samples)).astype("float32")
    loaded = load_model(str(folder), load_weights=True)
    ours, theirs = (each.predict(noise, verbose=0) for each in (model, loaded))
    if not np.array_equal(ours["tokens"], theirs["tokens"]):
        return float("inf")
    difference = np.abs(ours["encoder_output"] - theirs["encoder_output"]).max()
    return float(np.nan_to_num(difference, nan=np.inf))
