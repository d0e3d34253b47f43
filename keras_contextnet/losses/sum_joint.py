"""Arc log-probabilities of the joint network that only adds its two inputs.

The logits at (t, u) are encoder[t] + predictor[u], so that their softmax's normaliser is the sum
over the vocabulary of exp(encoder[t]) exp(predictor[u]): a matrix product, without a tensor of
the size of all logits (Kuang et al. 2022, arXiv 2206.13236, section 3.1).
"""

import math
from typing import Any

from keras import ops

# Both factors' largest entries are exp(SHIFT) rather than 1, which leaves float32 more room for
# small products. Even a vocabulary of ten million such products stays in its range.
SHIFT = 36.0
# Sums smaller than this count as this. Their inverse times a factor still is in float32's range.
SMALLEST_SUM = math.exp(-40.0)


def sum_joint_log_probs(
    encoder: Any,
    predictor: Any,
    label: Any,
    blank_id: Any,
    is_column: Any,
    encoder_only_scale: float,
    predictor_only_scale: float,
) -> tuple[Any, Any]:
    """Log-probabilities of the blank and of each column's label at every node.

    Args:
        encoder: Float tensor (batch, T, vocabulary), logits, none of them NaN in padding.
        predictor: Float tensor (batch, U + 1, vocabulary), logits, none of them NaN in padding.
        label: Integer tensor (batch, U + 1).
        blank_id: Integer, 0 or more.
        is_column: Boolean tensor (batch, U + 1), False in padding.
        encoder_only_scale: Float, the share of the log-probabilities that the encoder gives with
            an average of the predictor.
        predictor_only_scale: Float, the share of those that the predictor gives alone.

    Returns:
        Two float tensors (batch, T, U + 1).
    """
    encoder_label = ops.take_along_axis(encoder, label[:, None, :], axis=2)  # (batch, T, U + 1)
    encoder_blank = encoder[:, :, blank_id][:, :, None]  # (batch, T, 1)
    predictor_label = ops.take_along_axis(predictor, label[:, :, None], axis=2)[:, None, :, 0]
    predictor_blank = predictor[:, None, :, blank_id]  # (batch, 1, U + 1), as predictor_label

    encoder_exp, encoder_largest = _shifted_exp(encoder)  # encoder_largest: (batch, T, 1)
    parts = []
    both_scale = 1.0 - encoder_only_scale - predictor_only_scale
    if both_scale > 0:
        predictor_exp, predictor_largest = _shifted_exp(predictor)
        total = ops.matmul(encoder_exp, ops.transpose(predictor_exp, (0, 2, 1)))
        normaliser = _log_of_shifted(total, 2 * SHIFT)
        normaliser += encoder_largest + ops.transpose(predictor_largest, (0, 2, 1))
        blank = encoder_blank + predictor_blank - normaliser  # (batch, T, U + 1)
        label_part = encoder_label + predictor_label - normaliser
        parts.append((both_scale, blank, label_part))
    if predictor_only_scale > 0:
        normaliser = ops.logsumexp(predictor, axis=2)[:, None]  # (batch, 1, U + 1)
        parts.append(
            (predictor_only_scale, predictor_blank - normaliser, predictor_label - normaliser)
        )
    if encoder_only_scale > 0:
        average = _average_softmax(predictor, is_column)  # (vocabulary,)
        total = ops.matmul(encoder_exp, average[:, None])  # (batch, T, 1)
        normaliser = _log_of_shifted(total, SHIFT) + encoder_largest
        average = ops.log(ops.maximum(average, SMALLEST_SUM))
        blank = encoder_blank + average[blank_id] - normaliser  # (batch, T, 1)
        label_part = encoder_label + ops.take(average, label)[:, None] - normaliser
        parts.append((encoder_only_scale, blank, label_part))
    like = ops.zeros_like(encoder_label)
    return (
        sum((scale * blank for scale, blank, _ in parts), like),
        sum((scale * label_part for scale, _, label_part in parts), like),
    )


def _shifted_exp(logits: Any) -> tuple[Any, Any]:
    """exp(logits - largest + SHIFT) and the largest of each row, (..., 1)."""
    largest = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    return ops.exp(logits - largest + SHIFT), largest


def _log_of_shifted(total: Any, shift: float) -> Any:
    """log(total) - shift, without the rounding of a sum near `shift` where the result is small."""
    large = total > 1
    scaled = ops.where(large, total * math.exp(-shift), ops.maximum(total, SMALLEST_SUM))
    log = ops.log(scaled)
    return ops.where(large, log, log - shift)


def _average_softmax(predictor: Any, is_column: Any) -> Any:
    """Mean distribution (vocabulary,) over all columns of the batch but padding."""
    weight = ops.cast(is_column, predictor.dtype)
    weight = weight / ops.maximum(ops.sum(weight), 1.0)  # (batch, U + 1)
    return ops.einsum("bu,buv->v", weight, ops.softmax(predictor, axis=-1))
