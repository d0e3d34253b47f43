"""The cost of a lattice together with how much of its probability each arc carries."""

from typing import Any

from keras import ops

from keras_contextnet.backend import custom_gradient
from keras_contextnet.losses.lattice import (
    IMPOSSIBLE_COST,
    join_at_one_end,
    posteriors,
    scan_forward,
    skew,
)


def lattice_cost_and_occupancy(
    blank_log_prob: Any,
    label_log_prob: Any,
    frame_length: Any,
    label_length: Any,
    fastemit_lambda: float = 0.0,
) -> tuple[Any, tuple[Any, Any]]:
    """`lattice_cost`, and the posterior of each arc from the same pass over the lattice.

    The gradient of the cost is minus the posteriors, so that it takes no pass of its own here.

    Args:
        blank_log_prob: Float tensor (batch, T, U + 1), the log-probability of the blank at (t, u).
        label_log_prob: Float tensor (batch, T, U + 1), the log-probability of label u + 1 at
            (t, u). The last column is not used.
        frame_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        label_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        fastemit_lambda: Float. Label posteriors in the gradient are multiplied by one plus this.

    Returns:
        The cost (batch,), and the posteriors of the blank and of the label at each node, two float
        tensors (batch, T, U + 1), which carry no gradient. Each frame's blanks and, over time,
        each label add up to one; both are zero where no path is possible.
    """
    frame_length = ops.cast(frame_length, "int32")
    label_length = ops.cast(label_length, "int32")

    @custom_gradient
    def cost_and_occupancy(blank_log_prob: Any, label_log_prob: Any) -> Any:
        _, frames, columns = ops.shape(blank_log_prob)
        blank, label = join_at_one_end(blank_log_prob, label_log_prob, frame_length, label_length)
        cost, log_odds = scan_forward(skew(blank), skew(label))
        impossible = cost >= IMPOSSIBLE_COST
        by_blank, by_label = posteriors(
            log_odds, impossible, frames, columns, frame_length, label_length
        )

        def gradient(for_cost: Any, *_: Any) -> Any:
            scale = ops.where(impossible, ops.zeros((), cost.dtype), ops.cast(for_cost, cost.dtype))
            scale = -scale[:, None, None]
            return scale * by_blank, (1.0 + fastemit_lambda) * scale * by_label

        cost = ops.where(impossible, float("inf"), cost)
        return (cost, by_blank, by_label), gradient

    cost, blank, label = cost_and_occupancy(
        ops.convert_to_tensor(blank_log_prob), ops.convert_to_tensor(label_log_prob)
    )
    return cost, (ops.stop_gradient(blank), ops.stop_gradient(label))
