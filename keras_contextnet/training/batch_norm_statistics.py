"""Batch norm's moving averages for weights other than those that it was trained with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_contextnet.layers import MaskedBatchNormalization

if TYPE_CHECKING:
    from keras_contextnet.models.speech_model import SpeechModel


def moving_averages(model: keras.Model) -> list[keras.Variable]:
    """Returns the moving means and variances of a model's batch norms."""
    return [
        average
        for layer in model._flatten_layers()
        if isinstance(layer, MaskedBatchNormalization)
        for average in (layer.moving_mean, layer.moving_variance)
    ]


def estimate_moving_averages(
    hear: Callable[[Any], None], batches: Iterable[Any], count: int
) -> None:
    """Moves batch norm's averages to what the encoder's present weights lead to.

    They have followed other weights: averaged ones, whose last thousand steps batch norm has
    mostly forgotten, come out as silence with them.

    Args:
        hear: of `hearing`.
        batches: model inputs, each the first of a tuple.
        count: int. How many of them; a momentum of 0.9 forgets what was before in 40.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima", arXiv 1803.05407,
    section 3.2.
    """
    for x, *_ in itertools.islice(_endless(batches), count):
        hear(x)


def hearing(model: SpeechModel) -> Callable[[Any], None]:
    """Returns what lets the encoder hear a batch, in training mode and without the augmenter.

    It hears the parts of a batch on all devices that the model was distributed to.
    """

    def hear(x: Any) -> None:
        features, mask = model.extract_features(x)
        model.encoder(features, mask=mask, training=True)

    strategy = getattr(model, "_distribute_strategy", None)
    if strategy is not None:
        import tensorflow as tf

        on_replica = tf.autograph.experimental.do_not_convert(hear)

        @tf.function(reduce_retracing=True, autograph=False)
        def hear_parts(x: Any) -> None:
            strategy.run(on_replica, args=(x,))

        return hear_parts
    distribution = keras.distribution.distribution()
    if distribution is None:
        return hear
    import jax

    def spread(array: Any) -> Any:
        array = np.asarray(array)
        layout = distribution.get_data_layout(array.shape).backend_layout
        return jax.make_array_from_process_local_data(layout, array)

    return lambda x: hear(keras.tree.map_structure(spread, x))


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from batches
