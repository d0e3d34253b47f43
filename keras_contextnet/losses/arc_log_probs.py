"""From logits to the log-probabilities of the lattice's arcs."""

from typing import Any

import keras
from keras import ops


def arc_log_probs(output: Any, label: Any, blank_id: Any) -> Any:
    """Log-softmax of `output` at the blank and at each column's label.

    The gradient is written out, so that nothing of the logits' size is kept beside the logits: it
    is a one-hot for each upstream gradient minus exp(output - log-sum-exp) times their sum.

    Args:
        output: Float tensor (batch, T, U + 1, vocabulary), logits.
        label: Int tensor (batch, U + 1). Columns without a label hold `blank_id`.
        blank_id: Integer, 0 or more.

    Returns:
        Two float tensors (batch, T, U + 1), for the blank and for the label.
    """
    dtype = "float64" if keras.backend.standardize_dtype(output.dtype) == "float64" else "float32"
    label = label[:, None, :, None]  # (batch, 1, U + 1, 1)

    @ops.custom_gradient
    def log_probs(output: Any) -> Any:
        logits = ops.cast(output, dtype)
        log_sum_exp = ops.logsumexp(logits, axis=-1)  # (batch, T, U + 1)
        blank_log_prob = logits[..., blank_id] - log_sum_exp
        label_log_prob = ops.take_along_axis(logits, label, axis=-1)[..., 0] - log_sum_exp

        def gradient(*args: Any, upstream: Any = None) -> Any:
            upstream = args if upstream is None else upstream
            # TensorFlow passes one argument for each output, JAX a tuple of them.
            for_blank, for_label = upstream[0] if len(upstream) == 1 else upstream
            total = for_blank + for_label
            # Arcs that nothing goes through have no gradient, and may lie in padding that is NaN.
            used = ops.not_equal(total, 0)
            softmax = ops.exp(ops.cast(output, dtype) - log_sum_exp[..., None])
            grad = ops.where(used[..., None], softmax * -total[..., None], ops.zeros((), dtype))
            at_label = ops.where(used, for_label - ops.exp(label_log_prob) * total, total)
            at_blank = ops.where(used, for_blank - ops.exp(blank_log_prob) * total, total)
            grad = _set_entries(grad, label, at_label)
            # After the labels: where there is none, `label` is the blank too.
            grad = _set_entries(grad, ops.full_like(label, blank_id), at_blank)
            return ops.cast(grad, output.dtype)

        return (blank_log_prob, label_log_prob), gradient

    return log_probs(output)


def _set_entries(plane: Any, entry: Any, value: Any) -> Any:
    """Sets one vocabulary entry of every cell.

    Without XLA this is faster than comparing one-hots over the whole vocabulary, and with XLA no
    slower.

    Args:
        plane: Float tensor (batch, T, U + 1, vocabulary).
        entry: Int tensor (batch, 1, U + 1, 1).
        value: Float tensor (batch, T, U + 1).
    """
    batch, frames, columns, vocabulary = ops.shape(plane)
    cells = batch * frames * columns
    entry = ops.reshape(ops.broadcast_to(entry[..., 0], (batch, frames, columns)), (cells,))
    index = ops.stack([ops.arange(cells, dtype="int32"), entry], axis=1)
    flat = ops.reshape(plane, (cells, vocabulary))
    flat = ops.scatter_update(flat, index, ops.reshape(value, (cells,)))
    return ops.reshape(flat, (batch, frames, columns, vocabulary))
