"""A plain table of presets: the paper's configurations, without weights."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_contextnet.models.speech_model import SpeechModel


@dataclasses.dataclass(frozen=True)
class Preset:
    """A configuration of the paper: a width factor and a line about each model that has it."""

    alpha: float
    description: str
    ctc_description: str


PRESETS = {
    "small": Preset(
        0.5,
        "The paper's ContextNet-S: alpha 0.5, 10.9 M parameters, no weights.",
        "ContextNet-S's encoder with CTC: alpha 0.5, 7.1 M parameters, no weights.",
    ),
    "medium": Preset(
        1.0,
        "The paper's ContextNet-M: alpha 1, 31.7 M parameters, no weights.",
        "ContextNet-M's encoder with CTC: alpha 1, 27.4 M parameters, no weights.",
    ),
    "large": Preset(
        2.0,
        "The paper's ContextNet-L: alpha 2, 113.3 M parameters, no weights.",
        "ContextNet-L's encoder with CTC: alpha 2, 107.4 M parameters, no weights.",
    ),
}


def build_preset(
    name: str,
    load_weights: bool | None,
    model_class: type[SpeechModel],
    overrides: dict[str, Any],
) -> SpeechModel:
    """Returns a model of random weights, and warns of them unless `load_weights` is False.

    Args:
        name: a key of `PRESETS`.
        load_weights: bool or None, as of `load_preset`.
        model_class: `ContextNet` or `ContextNetCTC`.
        overrides: arguments of the model in place of the preset's, and `dtype`.

    Raises:
        ValueError: if `load_weights` is True.
    """
    from keras_contextnet.layers import LogMelSpectrogram, SpecAugment
    from keras_contextnet.models.encoder import ContextNetEncoder
    from keras_contextnet.text import english_tokenizer

    if load_weights:
        raise ValueError(
            f"The preset {name!r} has no trained weights, but load_weights=True. Leave "
            "`load_weights` out and train the model with `fit`, or load a folder with weights."
        )
    if load_weights is None:
        warnings.warn(
            f"The preset {name!r} has no trained weights: they are random. Train it with `fit`, or "
            "pass load_weights=False if that is what you want.",
            stacklevel=4,
        )
    alpha, dtype = PRESETS[name].alpha, overrides.pop("dtype", None)
    tokenizer = overrides.pop("tokenizer", None) or english_tokenizer()
    parts = {
        "encoder": lambda: ContextNetEncoder(alpha=alpha, dtype=dtype, name="encoder"),
        **model_class.makers(alpha, tokenizer.vocabulary_size + 1, dtype),
        "frontend": lambda: LogMelSpectrogram(dtype=dtype, name="frontend"),
        "augmenter": lambda: SpecAugment(dtype=dtype, name="augmenter"),
    }
    parts = {part: make() for part, make in parts.items() if part not in overrides}
    return model_class(
        **{"name": f"contextnet_{name}", "dtype": dtype, "tokenizer": tokenizer},
        **parts,
        **overrides,
    )
