"""keras-contextnet train: a model from recordings and transcripts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_contextnet_cli.session import load_model, read_utterances, session

if TYPE_CHECKING:
    from keras_contextnet import ContextNet
    from keras_contextnet.text import Tokenizer

DATA, MODEL, TRAINING = "Data", "Model", "Training"


def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            metavar="DATA",
            help="Manifests of JSON lines (path, text, duration), NeMo's too, or LibriSpeech "
            "folders.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for preset/, history.csv, curve.png and checkpoints."
        ),
    ] = Path("runs/train"),
    split: Annotated[
        str | None,
        typer.Option(
            help="Only this split of the manifests.", show_default="all", rich_help_panel=DATA
        ),
    ] = None,
    dev: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            help="Manifest or LibriSpeech folder to validate on after each epoch; can be "
            "repeated. The epoch of the lowest WER is kept; without --dev, the last one is.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    dev_split: Annotated[
        str | None,
        typer.Option(
            help="Only this split of --dev; alone, this split of DATA.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    max_duration: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Leave out longer training utterances, in seconds.",
            show_default="none",
            rich_help_panel=DATA,
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="small, medium or large, which start from random weights; or a folder or "
            "hf://user/model to go on training.",
            rich_help_panel=MODEL,
        ),
    ] = "small",
    alpha: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Width of the paper's 23 blocks in place of the preset's: 0.5 is small, 1 medium, "
            "2 large.",
            show_default="the preset's",
            rich_help_panel=MODEL,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="english (1,023 word pieces), characters (a-z, ' and space), or the file of a "
            "SentencePiece model.",
            show_default="the preset's, english",
            rich_help_panel=MODEL,
        ),
    ] = None,
    variational_noise: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Standard deviation of Gaussian noise on the predictor's weights. The paper uses "
            "such noise and does not state its size.",
            rich_help_panel=MODEL,
        ),
    ] = 0.0,
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the data.", rich_help_panel=TRAINING)
    ] = 100,
    batch_seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Seconds of audio in a batch, padding included; more need more memory.",
            rich_help_panel=TRAINING,
        ),
    ] = 120.0,
    learning_rate: Annotated[
        float,
        typer.Option(
            min=0.0, help="Adam's, at the end of the warm-up (paper).", rich_help_panel=TRAINING
        ),
    ] = 0.0025,
    warmup_steps: Annotated[
        int,
        typer.Option(
            min=1,
            help="Batches until the peak learning rate, which then falls with the inverse square "
            "root (paper, for 970 hours; use fewer for less).",
            rich_help_panel=TRAINING,
        ),
    ] = 15000,
    l2: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Weight of all squared trainable weights in the loss (paper).",
            rich_help_panel=TRAINING,
        ),
    ] = 1e-6,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of weights, batches and augmentation.", rich_help_panel=TRAINING),
    ] = 0,
) -> None:
    """Train a model on recordings and their transcripts.

    The output folder gets preset/ (what the other commands take as MODEL), history.csv and the
    curve.png of losses and error rates. The same command, given again after an interruption, goes
    on where its last whole epoch ended.

    Example: keras-contextnet train corpus.jsonl --split train --dev-split dev --warmup-steps 2000
    """
    with session():
        import keras

        from keras_contextnet import training
        from keras_contextnet.data import make_dataset
        from keras_contextnet.metrics import WordErrorRate
        from keras_contextnet.schedules import TransformerSchedule

        keras.utils.set_random_seed(seed)
        utterances = read_utterances(data, split)
        has_dev = bool(dev or dev_split)
        dev_utterances = read_utterances(dev or data, dev_split) if has_dev else []
        model = _make_model(preset, alpha, tokenizer, l2)
        model.predictor.variational_noise = variational_noise
        batches = {"batch_seconds": batch_seconds, "sample_rate": model.frontend.sample_rate}
        dataset = make_dataset(
            utterances,
            model.tokenizer,
            shuffle=True,
            seed=seed,
            max_duration=max_duration,
            **batches,
        )
        dev_dataset = (
            make_dataset(dev_utterances, model.tokenizer, bucket=True, **batches)
            if has_dev
            else None
        )
        model.compile(
            optimizer=keras.optimizers.Adam(TransformerSchedule(learning_rate, warmup_steps)),
            metrics=[WordErrorRate(model.tokenizer)] if has_dev else None,
        )
        typer.echo(
            f"{model.count_params():,} parameters, {len(utterances)} utterances in "
            f"{len(dataset)} batches, {len(dev_utterances)} to validate on"
        )
        # A bar where somebody watches, a line an epoch in a log file.
        verbose = 1 if sys.stdout.isatty() else 2
        training.train(model, dataset, output, epochs, dev_dataset, verbose=verbose)
        typer.echo(f"Model: {output / 'preset'}, learning curve: {output / 'curve.png'}")


def _make_model(preset: str, alpha: float | None, tokenizer: str | None, l2: float) -> ContextNet:
    from keras_contextnet import ContextNet, ContextNetEncoder, Joiner
    from keras_contextnet.text import english_tokenizer

    from_scratch = preset in ContextNet.presets
    overrides: dict[str, Any] = {"l2": l2}
    if tokenizer is not None:
        overrides["tokenizer"] = _make_tokenizer(tokenizer)
    if alpha is not None:
        if not from_scratch:
            raise typer.BadParameter(
                f"--alpha makes a new model. Received: alpha={alpha:g} with --preset {preset}, "
                "which has its widths already."
            )
        pieces = overrides.setdefault("tokenizer", english_tokenizer()).vocabulary_size
        overrides["encoder"] = ContextNetEncoder(alpha=alpha, name="encoder")
        overrides["joiner"] = Joiner(pieces + 1, units=round(640 * alpha), name="joiner")
    return load_model(preset, load_weights=False if from_scratch else None, **overrides)


def _make_tokenizer(name: str) -> Tokenizer:
    from keras_contextnet.text import (
        CharacterTokenizer,
        SentencePieceTokenizer,
        english_tokenizer,
    )

    if name == "english":
        return english_tokenizer()
    if name == "characters":
        return CharacterTokenizer()
    if not Path(name).is_file():
        raise typer.BadParameter(
            f"expected --tokenizer to be english, characters or a SentencePiece model. Received: "
            f"{name}, no file."
        )
    return SentencePieceTokenizer(name)
