"""NeMo's decoder and joint sections as a `Predictor` and a `Joiner`."""

from __future__ import annotations

from typing import Any

from keras_contextnet.interop.nemo.settings import Settings
from keras_contextnet.models.joiner import Joiner
from keras_contextnet.models.predictor import Predictor

MAX_SYMBOLS_PER_FRAME = 10


def make_predictor(settings: Settings, **kwargs: Any) -> Predictor:
    """Returns the predictor of a `decoder` section, with random weights.

    Args:
        settings: the section.
        **kwargs: of `Predictor`.

    Raises:
        NemoFileError: for a setting that the predictor has not.
    """
    settings.require_target("RNNTDecoder")
    if settings.get("normalization_mode") is not None:
        raise settings.unsupported("normalization_mode", settings.get("normalization_mode"), "null")
    network = settings.section("prednet")
    units = network.integer("pred_hidden")
    if network.get("rnn_hidden_size", -1) not in (-1, 0, units):
        raise network.unsupported("rnn_hidden_size", network.get("rnn_hidden_size"), f"-1, {units}")
    return Predictor(
        vocabulary_size=settings.integer("vocab_size") + 1,
        embedding_size=units,
        units=units,
        num_layers=network.integer("pred_rnn_layers"),
        lstm_dropout=network.number("dropout", 0.0),
        **kwargs,
    )


def make_joiner(settings: Settings, vocabulary_size: int, **kwargs: Any) -> Joiner:
    """Returns the joiner of a `joint` section, with random weights.

    NeMo's dropout before the last projection is left out: it acts in training alone, and a joint
    that is computed again in the backward pass would have to draw it twice alike.

    Args:
        settings: the section.
        vocabulary_size: int. Token ids, the blank included.
        **kwargs: of `Joiner`.

    Raises:
        NemoFileError: for a setting that the joiner has not.
    """
    settings.require_target("RNNTJoint", "SampledRNNTJoint")
    settings.require("num_extra_outputs", 0, 0)
    settings.require("num_classes", -1, -1, vocabulary_size - 1)
    network = settings.section("jointnet")
    return Joiner(
        vocabulary_size=vocabulary_size,
        units=network.integer("joint_hidden"),
        activation=network.require("activation", "relu", "relu", "tanh", "sigmoid"),
        **kwargs,
    )


def max_symbols_per_frame(settings: Settings) -> int:
    """Returns how many tokens a `decoding` section lets greedy decoding emit in a frame."""
    greedy = settings.section("greedy", required=False)
    return greedy.integer("max_symbols", MAX_SYMBOLS_PER_FRAME)
