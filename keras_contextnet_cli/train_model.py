"""The model, the loss and the optimizer that `keras-contextnet train` trains with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from keras_contextnet_cli.session import load_model

if TYPE_CHECKING:
    import keras

    from keras_contextnet import ContextNet
    from keras_contextnet.text import Tokenizer


def make_model(
    preset: str,
    alpha: float | None,
    tokenizer: str | None,
    l2: float,
    dtype: str | None,
    ctc_weight: float,
) -> ContextNet:
    """Makes a model of random weights, or loads one to go on with."""
    from keras_contextnet import ContextNetEncoder, Joiner
    from keras_contextnet.models.paper_presets import PRESETS
    from keras_contextnet.text import english_tokenizer

    from_scratch = preset in PRESETS
    overrides: dict[str, Any] = {"l2": l2}
    if dtype is not None:
        overrides["dtype"] = dtype
    if tokenizer is not None:
        overrides["tokenizer"] = _make_tokenizer(tokenizer)
    if alpha is not None:
        if not from_scratch:
            raise typer.BadParameter(
                f"--alpha makes a new model. Received: alpha={alpha:g} with --preset {preset}, "
                "which has its widths already."
            )
        pieces = overrides.setdefault("tokenizer", english_tokenizer()).vocabulary_size
        overrides["encoder"] = ContextNetEncoder(alpha=alpha, dtype=dtype, name="encoder")
        overrides["joiner"] = Joiner(
            pieces + 1, units=round(640 * alpha), dtype=dtype, name="joiner"
        )
    model = load_model(preset, load_weights=False if from_scratch else None, **overrides)
    return _with_ctc_loss(model, ctc_weight) if ctc_weight else model


def make_optimizer(
    rate: float | keras.optimizers.schedules.LearningRateSchedule,
    clip_norm: float | None,
    average: float | None,
) -> keras.optimizers.Optimizer:
    """Makes the paper's optimizer, with what was asked for besides."""
    from keras_contextnet.optimizers import FusedAdam

    return FusedAdam(
        rate,
        global_clipnorm=clip_norm or None,
        use_ema=average is not None,
        ema_momentum=0.99 if average is None else average,
    )


def make_schedule(
    decay: str, peak: float, warmup_steps: int, total_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Makes the learning rate of every step."""
    from keras_contextnet.schedules import TransformerSchedule, WarmupCosineSchedule

    if decay == "inverse_sqrt":
        return TransformerSchedule(peak, warmup_steps)
    if warmup_steps >= total_steps:
        raise typer.BadParameter(
            f"--decay cosine takes fewer --warmup-steps than the run has batches. Received: "
            f"{warmup_steps} for {total_steps} batches."
        )
    return WarmupCosineSchedule(peak, warmup_steps, total_steps)


def make_augmentation(speed: bool, noise: Path | None, reverberation: bool) -> list[Any]:
    """Makes what is done to training audio, in the order in which sound would meet it."""
    from keras_contextnet.data.augmentation import AddNoise, Reverberate, SpeedPerturbation

    steps: list[Any] = []
    if speed:
        steps.append(SpeedPerturbation())
    if reverberation:
        steps.append(Reverberate(probability=1 / 3))
    if noise is not None:
        steps.append(AddNoise(noise, probability=0.5))
    return steps


def _with_ctc_loss(model: ContextNet, weight: float) -> ContextNet:
    """The same parts with a CTC head, a new one where there is none."""
    from keras_contextnet import CTCHead

    head = model.ctc_head or CTCHead(
        model.joiner.vocabulary_size, model.blank_id, dtype=model.dtype_policy, name="ctc_head"
    )
    parts = {part: getattr(model, part) for part in model.parts}
    return type(model)(
        **{**model.get_config(), **parts, "ctc_head": head, "ctc_weight": weight},
    )


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
