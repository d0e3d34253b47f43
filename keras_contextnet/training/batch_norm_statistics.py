"""Batch norm's moving averages for weights other than those that it was trained with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from keras_contextnet.layers import MaskedBatchNormalization

if TYPE_CHECKING:
    import keras

    from keras_contextnet.models.speech_model import SpeechModel


def moving_averages(model: keras.Model) -> list[keras.Variable]:
    """Returns the moving means and variances of a model's batch norms."""
    return [
        average
        for layer in model._flatten_layers()
        if isinstance(layer, MaskedBatchNormalization)
        for average in (layer.moving_mean, layer.moving_variance)
    ]


def estimate_moving_averages(model: SpeechModel, batches: Iterable[Any], count: int) -> None:
    """Moves batch norm's averages to what the encoder's present weights lead to.

    They have followed other weights: averaged ones, whose last thousand steps batch norm has
    mostly forgotten, come out as silence with them.

    Args:
        model: whose encoder hears the batches, in training mode and without its augmenter.
        batches: pairs of model inputs and anything.
        count: int. How many of them; a momentum of 0.9 forgets what was before in 40.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima", arXiv 1803.05407,
    section 3.2.
    """
    for x, _ in itertools.islice(_endless(batches), count):
        features, mask = model.extract_features(x)
        model.encoder(features, mask=mask, training=True)


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from batches
