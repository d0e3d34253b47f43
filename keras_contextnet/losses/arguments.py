"""Checks of the arguments of `rnnt_loss`: errors that name the argument and what it held."""

from typing import Any

import keras
import numpy as np


def check_shapes(target: Any, output: Any, target_length: Any, output_length: Any) -> None:
    """Raises ValueError unless ranks and static extents fit together."""
    for name, value, rank, axes in (
        ("target", target, 2, "(batch, U)"),
        ("output", output, 4, "(batch, T, U + 1, vocabulary)"),
        ("target_length", target_length, 1, "(batch,)"),
        ("output_length", output_length, 1, "(batch,)"),
    ):
        if len(value.shape) != rank:
            raise ValueError(
                f"`{name}` has to be of rank {rank}, {axes}. "
                f"Received: {name}.shape={tuple(value.shape)}"
            )
    if not keras.backend.is_float_dtype(output.dtype):
        raise ValueError(f"`output` has to hold float logits. Received: dtype={output.dtype}")
    for name, value in (
        ("target", target),
        ("target_length", target_length),
        ("output_length", output_length),
    ):
        if None not in (value.shape[0], output.shape[0]) and value.shape[0] != output.shape[0]:
            raise ValueError(
                f"`{name}` and `output` have to have the same batch size. Received: "
                f"{name}.shape={tuple(value.shape)}, output.shape={tuple(output.shape)}"
            )
    if None not in (target.shape[1], output.shape[2]) and target.shape[1] + 1 != output.shape[2]:
        raise ValueError(
            "`output` has to have one column more than `target` has labels, U + 1 for U. Received: "
            f"target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}"
        )
    if output.shape[1] == 0:
        raise ValueError(
            f"`output` has to have at least one frame. Received: output.shape={tuple(output.shape)}"
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
