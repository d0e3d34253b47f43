"""Which part of a transducer's lattice is worth a joint network: a few columns of each frame."""

from typing import Any

from keras import ops

from keras_contextnet.losses.axes import check_axes


def pruning_bounds(
    blank_occupancy: Any,
    label_occupancy: Any,
    target_length: Any,
    output_length: Any,
    prune_range: int,
) -> Any:
    """The first column to keep of each frame, for `prune_range` columns from there on.

    For each frame on its own the best window is the one through which most of the probability
    passes: what leaves the frame by a blank of the window, less what has entered the window by
    a label (Kuang et al. 2022, arXiv 2206.13236, section 3.2). These starts are then moved so that
    they never fall, rise by less than `prune_range` from one frame to the next, begin at 0, and
    end where the last label is in the window.

    An utterance whose lattice no such windows can span, target_length > (prune_range - 1) *
    output_length, does not reach its last label. Its pruned loss is infinite.

    Args:
        blank_occupancy: Float tensor (batch, T, U + 1), the posterior of each blank, from
            `rnnt_loss_simple`.
        label_occupancy: Float tensor (batch, T, U + 1), the posterior of each label.
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        prune_range: Integer, columns to keep of each frame, 2 or more if there are labels.

    Returns:
        Int32 tensor (batch, T). Past an utterance's frames the last frame's start.

    Raises:
        ValueError: On shapes that do not fit each other, or a `prune_range` below 1.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import pruning_bounds

    # One label at frame 1 and two at frame 2.
    blank = np.zeros((1, 4, 4), "float32")
    blank[0, 0, 0] = blank[0, 1, 1] = blank[0, 2, 3] = blank[0, 3, 3] = 1
    label = np.zeros((1, 4, 4), "float32")
    label[0, 1, 0] = label[0, 2, 1] = label[0, 2, 2] = 1
    bounds = pruning_bounds(blank, label, np.array([3]), np.array([4]), prune_range=3)
    assert np.array_equal(bounds, [[0, 0, 1, 1]])
    ```
    """
    blank_occupancy = ops.convert_to_tensor(blank_occupancy)
    label_occupancy = ops.convert_to_tensor(label_occupancy)
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    check_axes(
        blank_occupancy=(blank_occupancy, ("batch", "T", "U + 1")),
        label_occupancy=(label_occupancy, ("batch", "T", "U + 1")),
        target_length=(target_length, ("batch",)),
        output_length=(output_length, ("batch",)),
    )
    check_prune_range(prune_range)
    _, frames, columns = ops.shape(blank_occupancy)

    # No start past `last`: there the window ends with the last label's column.
    last = ops.minimum(target_length, columns - 1) - (prune_range - 1)
    last = ops.maximum(last, 0)[:, None]  # (batch, 1)
    start = ops.arange(columns, dtype="int32")
    leaving = ops.cumsum(blank_occupancy, axis=2)
    none = ops.zeros_like(leaving[:, :, :1])
    leaving = ops.concatenate([none, leaving], axis=2)  # (batch, T, U + 2)
    leaving = (
        ops.take(leaving, ops.minimum(start + prune_range, columns), axis=2) - leaving[..., :-1]
    )
    entering = ops.concatenate([none, label_occupancy[:, :, :-1]], axis=2)
    passing = ops.where(start <= last[:, :, None], leaving - entering, float("-inf"))
    best = ops.minimum(ops.cast(ops.argmax(passing, axis=2), "int32"), last)  # (batch, T)

    frame = ops.arange(frames, dtype="int32")[None]
    best = ops.where(frame < output_length[:, None] - 1, best, last)
    bounds = -_largest_from_here_on(-best)  # never falls
    fastest = frame * (prune_range - 1)
    bounds = _largest_from_here_on(bounds - fastest) + fastest  # rises by less than prune_range
    return ops.minimum(bounds, fastest)  # begins at 0


def prune(
    encoder_output: Any, predictor_output: Any, bounds: Any, prune_range: int
) -> tuple[Any, Any]:
    """The joint network's two inputs at the kept cells of the lattice.

    Args:
        encoder_output: Float tensor (batch, T, channels).
        predictor_output: Float tensor (batch, U + 1, channels).
        bounds: Integer tensor (batch, T), the first kept column of each frame, from
            `pruning_bounds`.
        prune_range: Integer, kept columns of each frame.

    Returns:
        The encoder's (batch, T, 1, channels), to be broadcast over a frame's columns, and the
        predictor's (batch, T, prune_range, channels). Columns past the last repeat that.

    Raises:
        ValueError: On shapes that do not fit each other, or a `prune_range` below 1.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import prune

    encoder, predictor = prune(
        encoder_output=np.zeros((2, 4, 8), "float32"),
        predictor_output=np.zeros((2, 6, 8), "float32"),
        bounds=np.array([[0, 0, 2, 3], [0, 1, 1, 2]]),
        prune_range=3,
    )
    joint = np.tanh(encoder + predictor)  # (2, 4, 3, 8)
    ```
    """
    encoder_output = ops.convert_to_tensor(encoder_output)
    predictor_output = ops.convert_to_tensor(predictor_output)
    bounds = ops.cast(bounds, "int32")
    check_axes(
        encoder_output=(encoder_output, ("batch", "T", "encoder channels")),
        predictor_output=(predictor_output, ("batch", "U + 1", "predictor channels")),
        bounds=(bounds, ("batch", "T")),
    )
    check_prune_range(prune_range)
    batch, columns, channels = ops.shape(predictor_output)
    column = kept_columns(bounds, prune_range, columns)  # (batch, T, prune_range)
    row = ops.arange(batch, dtype="int32")[:, None, None] * columns
    flat = ops.reshape(predictor_output, (batch * columns, channels))
    return encoder_output[:, :, None], ops.take(flat, row + column, axis=0)


def kept_columns(bounds: Any, prune_range: Any, columns: Any) -> Any:
    """Column of each kept cell, (batch, T, prune_range); past the last the last."""
    offset = ops.arange(prune_range, dtype="int32")
    return ops.minimum(bounds[:, :, None] + offset, columns - 1)


def is_kept(bounds: Any, prune_range: int, columns: Any) -> Any:
    """True at the kept cells of the lattice, (batch, T, U + 1)."""
    offset = ops.arange(columns, dtype="int32") - bounds[:, :, None]
    return ops.logical_and(offset >= 0, offset < prune_range)


def check_prune_range(prune_range: int | None) -> None:
    """Raises ValueError if no cell would be kept."""
    if prune_range is None or prune_range < 1:
        raise ValueError(f"`prune_range` has to be 1 or more. Received: prune_range={prune_range}")


def _largest_from_here_on(x: Any) -> Any:
    """Running maximum from the end of axis 1 of (batch, T), in log2(T) steps."""
    frames = ops.shape(x)[1]
    frame = ops.arange(frames, dtype="int32")

    def double(x: Any, reach: Any) -> Any:
        ahead = ops.take(x, ops.minimum(frame + reach, frames - 1), axis=1)
        return ops.maximum(x, ahead), 2 * reach

    return ops.while_loop(
        lambda _, reach: reach < frames, double, (x, ops.convert_to_tensor(1, "int32"))
    )[0]
