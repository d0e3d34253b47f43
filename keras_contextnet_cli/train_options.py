"""What `keras-contextnet train` can be told."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

DATA, AUGMENTATION, MODEL, TRAINING = "Data", "Augmentation", "Model", "Training"


class Decay(str, Enum):
    """How the learning rate falls after its peak."""

    inverse_sqrt = "inverse_sqrt"
    cosine = "cosine"


class Dtype(str, Enum):
    """What layers compute in."""

    float32 = "float32"
    mixed_bfloat16 = "mixed_bfloat16"
    mixed_float16 = "mixed_float16"


def _option(panel: str, help: str, *names: str, **arguments: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **arguments)


Data = Annotated[
    list[Path],
    typer.Argument(
        exists=True,
        metavar="DATA",
        help="Manifests of JSON lines (path, text, duration), NeMo's too, or LibriSpeech folders.",
        show_default=False,
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Folder for preset/, history.csv, curve.png, train.log and checkpoints/.",
    ),
]

Split = Annotated[
    str | None, _option(DATA, "Only this split of the manifests.", show_default="all")
]
Dev = Annotated[
    list[Path] | None,
    _option(
        DATA,
        "Manifest or LibriSpeech folder to validate on after each epoch; can be repeated. The "
        "epoch of the lowest WER is kept; without --dev, the last one is.",
        exists=True,
        show_default=False,
    ),
]
DevSplit = Annotated[
    str | None,
    _option(DATA, "Only this split of --dev; alone, this split of DATA.", show_default=False),
]
MaxDuration = Annotated[
    float | None,
    _option(
        DATA, "Leave out longer training utterances, in seconds.", min=0.0, show_default="none"
    ),
]
BatchSeconds = Annotated[
    float,
    _option(DATA, "Seconds of audio in a batch, padding included; more need more memory.", min=0.1),
]
BatchTokens = Annotated[
    int | None,
    _option(
        DATA,
        "Tokens in a batch, padding included, at most: bounds the memory of the loss too.",
        min=1,
        show_default="no bound",
    ),
]

Speed = Annotated[
    bool, _option(AUGMENTATION, "Play recordings at 0.9, 1 or 1.1 times their speed.", "--speed")
]
Noise = Annotated[
    Path | None,
    _option(
        AUGMENTATION,
        "Folder of recordings of noise, which half of the utterances get 5 to 25 dB below them.",
        exists=True,
        show_default=False,
    ),
]
Reverberation = Annotated[
    bool,
    _option(
        AUGMENTATION, "Have a third of the utterances echo in imagined rooms.", "--reverberation"
    ),
]

SampledWords = Annotated[
    float,
    _option(
        AUGMENTATION,
        "Share of words that are divided into pieces anew in every epoch, 0 to 1; of a "
        "SentencePiece tokenizer.",
        min=0.0,
        max=1.0,
    ),
]

Preset = Annotated[
    str,
    _option(
        MODEL,
        "small, medium or large, which start from random weights; or a folder or hf://user/model "
        "to go on training.",
    ),
]
Alpha = Annotated[
    float | None,
    _option(
        MODEL,
        "Width of the paper's 23 blocks in place of the preset's: 0.5 is small, 1 medium, 2 large.",
        min=0.0,
        show_default="the preset's",
    ),
]
Tokens = Annotated[
    str | None,
    _option(
        MODEL,
        "english (1,023 word pieces), characters (a-z, ' and space), or the file of a "
        "SentencePiece model.",
        "--tokenizer",
        show_default="the preset's, english",
    ),
]
VariationalNoise = Annotated[
    float,
    _option(
        MODEL,
        "Standard deviation of Gaussian noise on the predictor's weights. The paper uses such "
        "noise and does not state its size.",
        min=0.0,
    ),
]
ComputeDtype = Annotated[
    Dtype | None,
    _option(
        MODEL,
        "What layers compute in; mixed_bfloat16 is the faster one on accelerators.",
        "--dtype",
        show_default="the preset's, float32",
    ),
]
BFloat16Products = Annotated[
    bool,
    _option(
        MODEL,
        "Multiply the encoder's matrices in bfloat16: faster on CPUs that have it.",
        "--bfloat16-products",
    ),
]
CtcWeight = Annotated[
    float,
    _option(
        MODEL,
        "Weight of a CTC loss on the encoder, beside the transducer's; 0.3 is usual. 0 makes no "
        "head for it.",
        min=0.0,
    ),
]
FastEmit = Annotated[
    float,
    _option(
        MODEL,
        "FastEmit's lambda, such as 0.005: tokens come earlier, at some cost in accuracy.",
        "--fastemit",
        min=0.0,
    ),
]

Epochs = Annotated[int, _option(TRAINING, "Passes over the data.", min=1)]
LearningRate = Annotated[
    float, _option(TRAINING, "Adam's, at the end of the warm-up (paper).", min=0.0)
]
WarmupSteps = Annotated[
    int,
    _option(
        TRAINING,
        "Batches until the peak learning rate (paper, for 970 hours; use fewer for less).",
        min=1,
    ),
]
Falling = Annotated[
    Decay,
    _option(
        TRAINING,
        "How the learning rate falls from its peak: with the inverse square root of the batches "
        "(paper), or as half a cosine to zero at the end of the last epoch.",
        "--decay",
    ),
]
L2 = Annotated[
    float,
    _option(TRAINING, "Weight of all squared trainable weights in the loss (paper).", min=0.0),
]
ClipNorm = Annotated[
    float | None,
    _option(
        TRAINING,
        "Largest norm of all gradients together; larger ones are scaled down to it.",
        min=0.0,
        show_default="no bound",
    ),
]
Average = Annotated[
    float | None,
    _option(
        TRAINING,
        "Momentum of a moving average of the weights, such as 0.999, which validation and preset/ "
        "take in place of the weights.",
        "--average",
        min=0.0,
        max=1.0,
        show_default="none",
    ),
]
Seed = Annotated[int, _option(TRAINING, "Of weights, batches and augmentation.", min=0)]
Distribute = Annotated[
    bool,
    _option(
        TRAINING,
        "Train on all GPUs of this host, or of the hosts that TF_CONFIG names; under JAX on all "
        "devices. --batch-seconds and --batch-tokens are then those of each device.",
        "--distribute",
    ),
]
CheckpointMinutes = Annotated[
    float,
    _option(TRAINING, "Minutes between checkpoints; one is saved after each epoch too.", min=0.0),
]
Tensorboard = Annotated[
    bool, _option(TRAINING, "Write tensorboard/ too; takes tensorboard.", "--tensorboard")
]
