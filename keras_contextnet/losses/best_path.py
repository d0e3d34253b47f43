"""The most probable path through the transducer lattice, by the Viterbi algorithm."""

from typing import Any

import keras
from keras import ops

from keras_contextnet.losses.lattice import (
    IMPOSSIBLE,
    IMPOSSIBLE_COST,
    join_at_one_end,
    scan_backward,
    skew,
    sum_of_diagonals,
    unskew,
)


def best_path(
    blank_log_prob: Any, label_log_prob: Any, frame_length: Any, label_length: Any
) -> tuple[Any, Any]:
    """The most probable path through each utterance's lattice, given its arcs.

    Cells outside an utterance's lattice may hold anything. The result carries no gradient.

    Args:
        blank_log_prob: Float tensor (batch, T, U + 1), the log-probability of the blank at (t, u).
        label_log_prob: Float tensor (batch, T, U + 1), the log-probability of label u + 1 at
            (t, u). The last column is not used.
        frame_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        label_length: Integer tensor (batch,), labels of each utterance, 0 to U.

    Returns:
        The frame of each label, int32 (batch, U), -1 past `label_length` and where there is no
        path; and the path's log-probability (batch,), in float64 for float64 arcs and else in
        float32, minus infinity where there is no path, and NaN where one of the utterance's arcs
        is. Of equally probable paths it is the one that emits each label earliest.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses.best_path import best_path

    arcs = np.log(np.array([[[0.2, 0.7], [0.6, 0.7]]], "float32"))
    # The label at frame 1: 0.2 * 0.6 * 0.7; at frame 0: 0.2 * 0.7 * 0.7.
    frames, score = best_path(arcs, arcs, np.array([2]), np.array([1]))
    assert np.array_equal(frames, [[0]])
    ```
    """
    blank = _as_constant(blank_log_prob)
    label = _as_constant(label_log_prob)
    frame_length = ops.cast(frame_length, "int32")
    label_length = ops.cast(label_length, "int32")
    _, frames, columns = ops.shape(blank)

    blank, label = join_at_one_end(blank, label, frame_length, label_length)
    score, log_odds = _scan_for_best(skew(blank), skew(label))
    possible = score > -IMPOSSIBLE_COST
    no_score = ops.where(ops.isnan(score), score, float("-inf"))
    score = ops.where(possible, score, no_score)

    # Going back from the end with all or nothing at each node marks the arcs of the one path.
    _, on_path = scan_backward(log_odds)
    on_path = unskew(on_path, frames + 1)[:, :, :-1]  # (batch, T + 1, U)
    time = ops.arange(frames + 1, dtype=on_path.dtype)[None, :, None]
    frame = ops.cast(ops.sum(on_path * time, axis=1), "int32")  # (batch, U)

    is_label = ops.arange(columns - 1, dtype="int32")[None] < label_length[:, None]
    return ops.where(ops.logical_and(is_label, possible[:, None]), frame, -1), score


def _as_constant(log_prob: Any) -> Any:
    """Without a gradient, and in float32 or better."""
    log_prob = ops.stop_gradient(ops.convert_to_tensor(log_prob))
    dtype = keras.backend.standardize_dtype(log_prob.dtype)
    return ops.cast(log_prob, dtype if dtype == "float64" else "float32")


def _scan_for_best(blank: Any, label: Any) -> tuple[Any, Any]:
    """The best log-probability of reaching each node, one anti-diagonal at a time.

    Args:
        blank: Float tensor (diagonals, batch, U + 1), skewed.
        label: Float tensor (diagonals, batch, U + 1), skewed.

    Returns:
        The best path's log-probability (batch,), and for every node past the first diagonal the
        log-odds of arriving by the label, plus or minus infinity, (diagonals - 1, batch, U + 1).
    """
    wall = ops.full_like(blank[0, :, :1], IMPOSSIBLE)  # (batch, 1)
    origin = ops.zeros_like(wall)
    start = ops.concatenate([origin, ops.full_like(blank[0, :, 1:], IMPOSSIBLE)], axis=1)
    infinity = ops.full_like(wall, float("inf"))

    def step(carry: Any, arcs: Any) -> Any:
        # As in the sum over all paths, a diagonal's largest entry is kept at 0 for precision.
        best, _ = carry  # (batch, U + 1)
        by_blank = best + arcs[0]
        by_label = ops.concatenate([wall, (best + arcs[1])[:, :-1]], axis=1)
        # At a tie the blank: the label has been emitted at an earlier frame then.
        by_label_better = by_label > by_blank
        # Not the maximum, which need not keep NaN.
        best = ops.where(by_label_better, by_label, by_blank) + 0.0 * by_label
        largest = ops.max(best, axis=1, keepdims=True)
        log_odds = ops.where(by_label_better, infinity, -infinity)
        return (best - largest, largest), (log_odds, largest)

    # One tensor to scan over: with several, Keras's scan on TensorFlow needs a static length.
    arcs = ops.stack([blank[:-1], label[:-1]], axis=1)
    # On TensorFlow it also needs a carry of as many tensors as are stacked.
    (best, _), (log_odds, largest) = ops.scan(step, (start, origin), arcs)
    return best[:, -1] + sum_of_diagonals(largest), log_odds
