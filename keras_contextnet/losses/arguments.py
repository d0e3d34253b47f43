"""Checks of the losses' arguments: errors that name the argument and what it held."""

from typing import Any

import numpy as np

from keras_contextnet.losses.axes import check_axes, check_float


def check_shapes(target: Any, output: Any, target_length: Any, output_length: Any) -> None:
    """Raises ValueError unless ranks and static extents fit together."""
    check_axes(
        target=(target, ("batch", "U")),
        output=(output, ("batch", "T", "U + 1", "vocabulary")),
        target_length=(target_length, ("batch",)),
        output_length=(output_length, ("batch",)),
    )
    check_float(output=output)
    check_frames(output=output)


def check_frames(**tensors: Any) -> None:
    """Raises ValueError where a tensor (batch, T, ...) has no frames."""
    for name, value in tensors.items():
        if value.shape[1] == 0:
            raise ValueError(
                f"`{name}` has to have at least one frame. "
                f"Received: {name}.shape={tuple(value.shape)}"
            )


def resolve_blank(blank_id: int, vocabulary: Any) -> Any:
    """The blank's index from 0 up; a tensor where the vocabulary's size is one."""
    if not isinstance(vocabulary, int):
        return blank_id if blank_id >= 0 else vocabulary + blank_id
    if not -vocabulary <= blank_id < vocabulary:
        raise ValueError(
            f"`blank_id` has to be within the vocabulary, {-vocabulary} to {vocabulary - 1}. "
            f"Received: blank_id={blank_id}"
        )
    return blank_id % vocabulary


def check_regularisation(fastemit_lambda: float, clamp: float | None = None) -> None:
    """Raises ValueError unless both are in their ranges."""
    if fastemit_lambda < 0:
        raise ValueError(
            f"`fastemit_lambda` has to be 0 or more. Received: fastemit_lambda={fastemit_lambda}"
        )
    if clamp is not None and not clamp > 0:
        raise ValueError(f"`clamp` has to be above 0, or None. Received: clamp={clamp}")


def _known(value: Any) -> np.ndarray | None:
    """The value as an array, or None inside a compiled graph, where there is none yet."""
    try:
        return np.asarray(value)
    except (TypeError, NotImplementedError):
        return None


def check_values(
    target: Any,
    target_length: Any,
    output_length: Any,
    frames: int | None,
    vocabulary: Any,
    blank_id: Any,
) -> None:
    """Raises ValueError on lengths and labels that are known and wrong."""
    labels, label_count, frame_count = map(_known, (target, target_length, output_length))
    if label_count is not None and target.shape[1] is not None:
        _check_length("target_length", label_count, target.shape[1])
    if frame_count is not None and frames is not None:
        _check_length("output_length", frame_count, frames)
    if labels is None or label_count is None or not isinstance(vocabulary, int):
        return
    inside = np.arange(labels.shape[1])[None] < label_count[:, None]
    wrong = inside & ((labels < 0) | (labels >= vocabulary) | (labels == blank_id))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"`target` has to hold labels from 0 to {vocabulary - 1} other than the blank, "
            f"{blank_id}, within its length. "
            f"Received: target[{row}, {column}]={labels[row, column]}"
        )


def _check_length(name: str, lengths: np.ndarray, largest: int) -> None:
    """Raises ValueError on a length that its tensor does not hold."""
    wrong = (lengths < 0) | (lengths > largest)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"`{name}` has to be from 0 to {largest}, the tensor's extent. "
            f"Received: {name}[{row}]={lengths[row]}"
        )
