"""From logits to the log-probabilities of the lattice's arcs."""

from typing import Any

import keras
from keras import ops

from keras_contextnet.backend import (
    add_at,
    custom_gradient,
    log_sum_exp,
    multiply_no_nan,
    uses_tensorflow_kernels,
)


def arc_log_probs(
    output: Any,
    label: Any,
    blank_id: Any,
    fastemit_lambda: float = 0.0,
    clamp: float | None = None,
) -> Any:
    """Log-softmax of `output` at the blank and at each cell's label.

    The gradient is written out, so that at most one tensor of the logits' size is kept beside the
    logits, and the gradient takes its place.

    Args:
        output: Float tensor (batch, T, U + 1, vocabulary), logits.
        label: Int tensor (batch, T, U + 1), or (batch, 1, U + 1) for labels that do not depend on
            the frame. Cells without a label hold `blank_id`.
        blank_id: Integer, 0 or more.
        fastemit_lambda: Float. What the lattice scales the label's upstream gradient by, less 1.
        clamp: Float or None. Largest absolute entry of the gradient of each loss.

    Returns:
        Two float tensors (batch, T, U + 1), for the blank and for the label.
    """
    dtype = "float64" if keras.backend.standardize_dtype(output.dtype) == "float64" else "float32"
    keep_softmax = uses_tensorflow_kernels()

    @custom_gradient
    def log_probs(output: Any) -> Any:
        logits = ops.cast(output, dtype)
        cells = ops.broadcast_to(label, ops.shape(logits)[:3])
        # XLA recomputes the softmax within the gradient, so that it is never in memory.
        softmax = ops.softmax(logits, axis=-1) if keep_softmax else None
        normaliser = log_sum_exp(logits, softmax)  # (batch, T, U + 1)
        blank_log_prob = logits[..., blank_id] - normaliser
        label_log_prob = ops.take_along_axis(logits, cells[..., None], axis=-1)[..., 0] - normaliser

        def gradient(for_blank: Any, for_label: Any) -> Any:
            total = for_blank + for_label
            # Arcs that nothing goes through have no gradient, and may lie in padding that is NaN.
            if keep_softmax:
                grad = multiply_no_nan(softmax, -total[..., None])
                rows = ops.reshape(grad, (-1, ops.shape(grad)[-1]))
                for entry, value in (
                    (cells, for_label),
                    (ops.full_like(cells, blank_id), for_blank),
                ):
                    rows = add_one_hots(rows, ops.reshape(entry, (-1,)), ops.reshape(value, (-1,)))
                grad = ops.reshape(rows, ops.shape(grad))
            else:
                again = ops.exp(ops.cast(output, dtype) - normaliser[..., None])
                grad = multiply_no_nan(again, -total[..., None])
                entry = ops.arange(ops.shape(output)[-1], dtype="int32")
                at_label = for_label - multiply_no_nan(ops.exp(label_log_prob), total)
                at_blank = for_blank - multiply_no_nan(ops.exp(blank_log_prob), total)
                grad = ops.where(entry == cells[..., None], at_label[..., None], grad)
                # After the labels: where there is none, the cell's label is the blank too.
                grad = ops.where(entry == blank_id, at_blank[..., None], grad)
            if clamp is not None:
                bound = clamp * upstream_of_loss(for_blank, for_label, fastemit_lambda)
                grad = ops.clip(grad, -bound[:, None, None, None], bound[:, None, None, None])
            return ops.cast(grad, output.dtype)

        return (blank_log_prob, label_log_prob), gradient

    return log_probs(output)


def upstream_of_loss(for_blank: Any, for_label: Any, fastemit_lambda: float) -> Any:
    """The absolute upstream gradient of each loss (batch,), from those of its arcs.

    Every path leaves (0, 0), by a blank or by a label, so that the posteriors of these two add up
    to one.
    """
    return ops.abs(for_blank[:, 0, 0] + for_label[:, 0, 0] / (1.0 + fastemit_lambda))


def add_one_hots(rows: Any, entry: Any, value: Any) -> Any:
    """Adds `value` (cells,) to one vocabulary entry (cells,) of each row (cells, vocabulary)."""
    row = ops.arange(ops.shape(rows)[0], dtype="int32")
    return add_at(rows, ops.stack([row, entry], axis=1), value)
