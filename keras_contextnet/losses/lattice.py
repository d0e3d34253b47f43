"""The transducer lattice: the cost of all alignments and the posterior of every arc.

A node (t, u) stands for "t frames consumed, u labels emitted". Two arcs leave it: the blank, to
(t + 1, u), and the next label, to (t, u + 1). Utterance i starts at (0, 0) and ends once the blank
of its last frame is taken from (T_i - 1, U_i); its cost is minus the log of the sum over all such
paths of the product of their arcs (Graves 2012, section 2.4).

Nodes on one anti-diagonal n = t + u depend on diagonal n - 1 only, so the sum is a scan over
T + U diagonals of vectors. One virtual row T, and arcs of probability one from each utterance's own
end to the corner (T, U), give every length the same last node.
"""

from typing import Any

from keras import ops

from keras_contextnet.backend import custom_gradient, traced

# In place of -inf, whose differences are NaN. A thousand of them still add up in float32.
IMPOSSIBLE = -1e30
# Costs from here on can only come from paths that all hold an impossible arc.
IMPOSSIBLE_COST = 1e29


def lattice_cost(
    blank_log_prob: Any,
    label_log_prob: Any,
    frame_length: Any,
    label_length: Any,
    fastemit_lambda: float = 0.0,
) -> Any:
    """Minus the log-probability of all alignments through each utterance's lattice.

    The gradient is minus the posterior probability of each arc, computed from the forward pass
    alone: each node knows what share of its mass came by which arc, so mass one is spread back from
    the end of the lattice. Cells outside an utterance's lattice may hold anything.

    Args:
        blank_log_prob: Float tensor (batch, T, U + 1), the log-probability of the blank at (t, u).
        label_log_prob: Float tensor (batch, T, U + 1), the log-probability of label u + 1 at
            (t, u). The last column is not used.
        frame_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        label_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        fastemit_lambda: Float. Label posteriors in the gradient are multiplied by one plus this
            (FastEmit, Yu et al. 2021, arXiv 2010.11148, equation 9). The cost stays.

    Returns:
        Float tensor (batch,). Infinite, with a gradient of zero, where no path is possible.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses.lattice import lattice_cost

    half = np.log(np.full((1, 2, 2), 0.5, "float32"))
    # Two alignments of one label with two frames, three arcs each: -log(2 / 8).
    cost = lattice_cost(half, half, np.array([2]), np.array([1]))
    ```
    """
    return _cost(
        ops.convert_to_tensor(blank_log_prob),
        ops.convert_to_tensor(label_log_prob),
        ops.cast(frame_length, "int32"),
        ops.cast(label_length, "int32"),
        fastemit_lambda,
    )


@traced
def _cost(
    blank_log_prob: Any,
    label_log_prob: Any,
    frame_length: Any,
    label_length: Any,
    fastemit_lambda: float,
) -> Any:
    @custom_gradient
    def cost_with_posteriors(blank_log_prob: Any, label_log_prob: Any) -> Any:
        _, frames, columns = ops.shape(blank_log_prob)
        blank, label = join_at_one_end(blank_log_prob, label_log_prob, frame_length, label_length)
        cost, log_odds = scan_forward(skew(blank), skew(label))
        impossible = cost >= IMPOSSIBLE_COST
        cost = ops.where(impossible, float("inf"), cost)

        def gradient(upstream: Any) -> Any:
            by_blank, by_label = posteriors(
                log_odds, impossible, frames, columns, frame_length, label_length
            )
            # Where no path is possible, upstream may be infinite or NaN.
            scale = ops.where(impossible, ops.zeros((), cost.dtype), ops.cast(upstream, cost.dtype))
            scale = -scale[:, None, None]
            return scale * by_blank, (1.0 + fastemit_lambda) * scale * by_label

        return cost, gradient

    return cost_with_posteriors(blank_log_prob, label_log_prob)


def posteriors(
    log_odds: Any,
    impossible: Any,
    frames: Any,
    columns: Any,
    frame_length: Any,
    label_length: Any,
) -> tuple[Any, Any]:
    """Posterior of each arc, of the blanks and of the labels: two tensors (batch, T, U + 1).

    Args:
        log_odds: Float tensor (diagonals - 1, batch, U + 1), from `scan_forward`.
        impossible: Bool tensor (batch,), True where no path has a probability.
        frames: T.
        columns: U + 1.
        frame_length: Int tensor (batch,).
        label_length: Int tensor (batch,).
    """
    inside = inside_lattice(frames, columns, frame_length, label_length)
    zero = ops.zeros((), log_odds.dtype)
    by_blank, by_label = (
        ops.where(inside, unskew(by_arc, frames + 1)[:, :frames], zero)
        for by_arc in scan_backward(log_odds)
    )
    # `impossible` is never negated: TensorFlow turns "not >=" into "<", which differs for NaN.
    impossible = impossible[:, None, None]
    return ops.where(impossible, zero, by_blank), ops.where(impossible, zero, by_label)


def inside_lattice(frames: Any, columns: Any, frame_length: Any, label_length: Any) -> Any:
    """True at the nodes (t, u) with t < T_i and u <= U_i: (batch, T, U + 1)."""
    frame = ops.arange(frames, dtype="int32")[None, :, None]
    column = ops.arange(columns, dtype="int32")[None, None, :]
    return ops.logical_and(
        frame < frame_length[:, None, None], column <= label_length[:, None, None]
    )


def join_at_one_end(blank: Any, label: Any, frame_length: Any, label_length: Any) -> Any:
    """Adds row T and the free arcs that lead from each utterance's end to (T, U).

    Returns both planes as (batch, T + 1, U + 1), with every other arc outside an utterance closed.
    """
    dtype = blank.dtype
    _, frames, columns = ops.shape(blank)
    impossible = ops.cast(IMPOSSIBLE, dtype)
    free = ops.zeros((), dtype)

    frame = ops.arange(frames + 1, dtype="int32")[None, :, None]  # (1, T + 1, 1)
    column = ops.arange(columns, dtype="int32")[None, None, :]  # (1, 1, U + 1)
    frame_length = frame_length[:, None, None]  # (batch, 1, 1)
    label_length = label_length[:, None, None]

    virtual_row = ops.zeros_like(blank[:, :1])
    blank = ops.concatenate([blank, virtual_row], axis=1)  # (batch, T + 1, U + 1)
    label = ops.concatenate([label, virtual_row], axis=1)

    at_end = ops.equal(column, label_length)
    before_last = ops.logical_and(frame < frame_length - 1, column <= label_length)
    last = ops.logical_and(ops.equal(frame, frame_length - 1), at_end)
    past = ops.logical_and(frame >= frame_length, at_end)
    blank = ops.where(ops.logical_or(before_last, last), blank, impossible)
    blank = ops.where(past, free, blank)

    emits = ops.logical_and(frame < frame_length, column < label_length)
    past = ops.logical_and(ops.equal(frame, frames), column >= label_length)
    label = ops.where(emits, label, impossible)
    label = ops.where(past, free, label)

    blank = ops.where(blank < impossible, impossible, blank)
    label = ops.where(label < impossible, impossible, label)
    return blank, label


def skew(plane: Any) -> Any:
    """Rows into anti-diagonals: (batch, rows, columns) to (rows + columns - 1, batch, columns).

    Entry (n, b, u) is plane[b, n - u, u]. Padding each column to one more than the number of
    diagonals and reading with a stride of that number shifts column u by u, without a gather.
    """
    batch, rows, columns = ops.shape(plane)
    diagonals = rows + columns - 1
    by_column = ops.transpose(plane, (0, 2, 1))  # (batch, columns, rows)
    fill = ops.full((batch, columns, columns), IMPOSSIBLE, dtype=plane.dtype)
    padded = ops.concatenate([by_column, fill], axis=2)  # (batch, columns, diagonals + 1)
    flat = ops.reshape(padded, (batch, columns * (diagonals + 1)))
    shifted = ops.reshape(flat[:, : columns * diagonals], (batch, columns, diagonals))
    return ops.transpose(shifted, (2, 0, 1))


def unskew(skewed: Any, rows: Any) -> Any:
    """The inverse of `skew`: (diagonals, batch, columns) to (batch, rows, columns)."""
    diagonals, batch, columns = ops.shape(skewed)
    by_column = ops.transpose(skewed, (1, 2, 0))  # (batch, columns, diagonals)
    flat = ops.reshape(by_column, (batch, columns * diagonals))
    flat = ops.concatenate([flat, ops.zeros((batch, columns), dtype=skewed.dtype)], axis=1)
    padded = ops.reshape(flat, (batch, columns, diagonals + 1))
    return ops.transpose(padded[:, :, :rows], (0, 2, 1))


def scan_forward(blank: Any, label: Any) -> Any:
    """Log-probability of reaching each node, one anti-diagonal at a time.

    Args:
        blank: Float tensor (diagonals, batch, U + 1), skewed.
        label: Float tensor (diagonals, batch, U + 1), skewed.

    Returns:
        The cost (batch,), and for every node past the first diagonal the log-odds of arriving by
        the label rather than by the blank, (diagonals - 1, batch, U + 1).
    """
    wall = ops.full_like(blank[0, :, :1], IMPOSSIBLE)  # (batch, 1)
    origin = ops.zeros_like(wall)
    start = ops.concatenate([origin, ops.full_like(blank[0, :, 1:], IMPOSSIBLE)], axis=1)

    def step(carry: Any, arcs: Any) -> Any:
        # `arcs` are those that leave the previous diagonal, (2, batch, U + 1). Each diagonal's
        # largest entry is made 0, so that long lattices lose no precision.
        forward, _ = carry  # (batch, U + 1)
        by_blank = forward + arcs[0]
        by_label = ops.concatenate([wall, (forward + arcs[1])[:, :-1]], axis=1)
        log_odds = by_label - by_blank
        forward = ops.maximum(by_label, by_blank) + ops.softplus(-ops.absolute(log_odds))
        largest = ops.max(forward, axis=1, keepdims=True)  # (batch, 1)
        return (forward - largest, largest), (log_odds, largest)

    # One tensor to scan over: with several, Keras's scan on TensorFlow needs a static length.
    arcs = ops.stack([blank[:-1], label[:-1]], axis=1)
    # On TensorFlow it also needs a carry of as many tensors as are stacked.
    (forward, _), (log_odds, largest) = ops.scan(step, (start, origin), arcs)
    return -(forward[:, -1] + sum_of_diagonals(largest)), log_odds


def sum_of_diagonals(values: Any) -> Any:
    """Sum of (diagonals, batch, 1) over the diagonals, (batch,).

    Thousands of like numbers added one by one lose digits: they are added in groups.
    """
    group = 64
    diagonals, batch, _ = ops.shape(values)
    groups = (diagonals + group - 1) // group
    fill = ops.zeros((groups * group - diagonals, batch, 1), dtype=values.dtype)
    values = ops.reshape(ops.concatenate([values, fill]), (groups, group, batch))
    return ops.sum(ops.sum(values, axis=1), axis=0)


def scan_backward(log_odds: Any) -> Any:
    """Posterior of each arc, by spreading a mass of one back from the last node.

    Args:
        log_odds: Float tensor (diagonals - 1, batch, U + 1), from `scan_forward`.

    Returns:
        Posteriors of the blank and of the label that leave each node, both
        (diagonals, batch, U + 1), skewed.
    """
    by_label_share = ops.sigmoid(log_odds)
    by_blank_share = ops.sigmoid(-log_odds)  # 1 - sigmoid would lose the small ones
    wall = ops.zeros_like(log_odds[0, :, :1])  # (batch, 1)
    end = ops.concatenate([ops.zeros_like(log_odds[0, :, 1:]), ops.ones_like(wall)], axis=1)

    def step(mass: Any, shares: Any) -> Any:
        by_label = ops.concatenate([(mass * shares[1])[:, 1:], wall], axis=1)  # (batch, U + 1)
        return mass * shares[0] + by_label, mass

    shares = ops.stack([by_blank_share, by_label_share], axis=1)  # (diagonals - 1, 2, batch, U + 1)
    _, mass = ops.scan(step, end, shares, reverse=True)
    # mass[n] is the posterior of the nodes on diagonal n + 1; their arcs left diagonal n.
    by_blank = mass * by_blank_share
    by_label = mass * by_label_share
    by_label = ops.concatenate([by_label[:, :, 1:], ops.zeros_like(mass[:, :, :1])], axis=2)
    last = ops.zeros_like(mass[:1])
    return ops.concatenate([by_blank, last]), ops.concatenate([by_label, last])
