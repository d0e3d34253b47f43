"""The transducer loss on a part of the lattice."""

from typing import Any

from keras import ops

from keras_contextnet.losses.arc_log_probs import arc_log_probs
from keras_contextnet.losses.arguments import check_regularisation, check_values, resolve_blank
from keras_contextnet.losses.axes import check_axes, check_float
from keras_contextnet.losses.lattice import IMPOSSIBLE, lattice_cost
from keras_contextnet.losses.legal_labels import legal_labels
from keras_contextnet.losses.pruning import is_kept, kept_columns


def rnnt_loss_pruned(
    target: Any,
    output: Any,
    target_length: Any,
    output_length: Any,
    bounds: Any,
    blank_id: int = 0,
    fastemit_lambda: float = 0.0,
) -> Any:
    """RNN transducer loss of the alignments that keep to a few columns of each frame.

    The joint network runs on `prune_range` columns of each frame only, rather than on all U + 1.
    Alignments that leave those have no probability, so that this is never less than `rnnt_loss`,
    and the same where all columns are kept (Kuang et al. 2022, arXiv 2206.13236, section 3.3).

    Values of `output` in cells outside an utterance's lattice do not matter, not even NaN.

    Args:
        target: Integer tensor (batch, U), the labels without blanks.
        output: Float tensor (batch, T, prune_range, vocabulary), logits: entry (t, r) scores what
            comes at frame t once bounds[t] + r labels have been emitted.
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        bounds: Integer tensor (batch, T), the first kept column of each frame, from
            `pruning_bounds`.
        blank_id: Integer, the vocabulary index of the blank. Negative ones count from the end, so
            -1 is the last.
        fastemit_lambda: Float, 0 or more, as of `rnnt_loss`.

    Returns:
        Float tensor (batch,), as `rnnt_loss`. It is infinite, with a gradient of zero, where no
        alignment keeps to the columns, as with more labels than (prune_range - 1) * output_length.

    Raises:
        ValueError: On shapes that do not fit each other and on what `rnnt_loss` raises it.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_contextnet.losses import prune, pruning_bounds, rnnt_loss_pruned, rnnt_loss_simple

    encoder = np.random.normal(size=(2, 9, 16)).astype("float32")
    predictor = np.random.normal(size=(2, 6, 16)).astype("float32")
    target = np.array([[3, 1, 2, 2, 3], [2, 3, 0, 0, 0]])
    lengths = {"target_length": np.array([5, 2]), "output_length": np.array([9, 7])}

    simple, occupancy = rnnt_loss_simple(
        target,
        keras.layers.Dense(5)(encoder),
        keras.layers.Dense(5)(predictor),
        **lengths,
        return_occupancy=True,
    )
    bounds = pruning_bounds(*occupancy, **lengths, prune_range=3)
    encoder, predictor = prune(encoder, predictor, bounds, prune_range=3)
    logits = keras.layers.Dense(5)(keras.ops.tanh(encoder + predictor))
    loss = 0.5 * simple + rnnt_loss_pruned(target, logits, **lengths, bounds=bounds)
    ```
    """
    output = ops.convert_to_tensor(output)
    target = ops.cast(target, "int32")
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    bounds = ops.cast(bounds, "int32")
    check_axes(
        target=(target, ("batch", "U")),
        output=(output, ("batch", "T", "prune_range", "vocabulary")),
        target_length=(target_length, ("batch",)),
        output_length=(output_length, ("batch",)),
        bounds=(bounds, ("batch", "T")),
    )
    check_float(output=output)
    _, frames, prune_range, vocabulary = ops.shape(output)
    blank_id = resolve_blank(blank_id, vocabulary)
    check_regularisation(fastemit_lambda)
    check_values(target, target_length, output_length, output.shape[1], vocabulary, blank_id)

    label, legal = legal_labels(target, target_length, output_length, frames, vocabulary, blank_id)
    columns = ops.shape(label)[1]
    column = kept_columns(bounds, prune_range, columns)  # (batch, T, prune_range)
    label = ops.take_along_axis(label[:, None], column, axis=2)
    blank_log_prob, label_log_prob = arc_log_probs(output, label, blank_id)
    cost = lattice_cost(
        _in_whole_lattice(blank_log_prob, bounds, columns),
        _in_whole_lattice(label_log_prob, bounds, columns),
        output_length,
        target_length,
        fastemit_lambda,
    )
    return ops.where(legal, cost, float("nan"))


def _in_whole_lattice(kept: Any, bounds: Any, columns: Any) -> Any:
    """Cells (batch, T, prune_range) at their columns, among impossible ones: (batch, T, U + 1)."""
    prune_range = ops.shape(kept)[2]
    inside = is_kept(bounds, prune_range, columns)  # (batch, T, U + 1)
    cell = ops.arange(columns, dtype="int32") - bounds[:, :, None]
    plane = ops.take_along_axis(kept, ops.where(inside, cell, 0), axis=2)
    return ops.where(inside, plane, ops.cast(IMPOSSIBLE, kept.dtype))
