"""Checks of the losses' arguments: errors that name the argument and what it held."""

from typing import Any

import keras
import numpy as np
from keras import ops


def check_shapes(target: Any, output: Any, target_length: Any, output_length: Any) -> None:
    """Raises ValueError unless ranks and static extents fit together."""
    _check_ranks(
        ("target", target, "(batch, U)"),
        ("output", output, "(batch, T, U + 1, vocabulary)"),
        ("target_length", target_length, "(batch,)"),
        ("output_length", output_length, "(batch,)"),
    )
    _check_float("output", output)
    _check_frames("output", output)
    _check_columns("output", output, output.shape[2], target)


def check_joint_shapes(
    target: Any,
    encoder_output: Any,
    predictor_output: Any,
    target_length: Any,
    output_length: Any,
) -> None:
    """Raises ValueError unless ranks and static extents fit together."""
    _check_ranks(
        ("target", target, "(batch, U)"),
        ("encoder_output", encoder_output, "(batch, T, channels)"),
        ("predictor_output", predictor_output, "(batch, U + 1, units)"),
        ("target_length", target_length, "(batch,)"),
        ("output_length", output_length, "(batch,)"),
    )
    _check_float("encoder_output", encoder_output)
    _check_float("predictor_output", predictor_output)
    _check_frames("encoder_output", encoder_output)
    _check_columns("predictor_output", predictor_output, predictor_output.shape[1], target)


def _check_ranks(*arguments: tuple[str, Any, str]) -> None:
    """Of (name, tensor, axes): each tensor has as many axes, and all have the same batch size."""
    for name, value, axes in arguments:
        rank = axes.count(",") + (not axes.endswith(",)"))
        if len(value.shape) != rank:
            raise ValueError(
                f"`{name}` has to be of rank {rank}, {axes}. "
                f"Received: {name}.shape={tuple(value.shape)}"
            )
    whole, largest = arguments[1][:2]
    for name, value, _ in arguments:
        if None not in (value.shape[0], largest.shape[0]) and value.shape[0] != largest.shape[0]:
            raise ValueError(
                f"`{name}` and `{whole}` have to have the same batch size. Received: "
                f"{name}.shape={tuple(value.shape)}, {whole}.shape={tuple(largest.shape)}"
            )


def _check_float(name: str, value: Any) -> None:
    if not keras.backend.is_float_dtype(value.dtype):
        raise ValueError(f"`{name}` has to be of floats. Received: dtype={value.dtype}")


def _check_frames(name: str, value: Any) -> None:
    if value.shape[1] == 0:
        raise ValueError(
            f"`{name}` has to have at least one frame. Received: {name}.shape={tuple(value.shape)}"
        )


def _check_columns(name: str, value: Any, columns: int | None, target: Any) -> None:
    if None not in (target.shape[1], columns) and target.shape[1] + 1 != columns:
        raise ValueError(
            f"`{name}` has to have one column more than `target` has labels, U + 1 for U. "
            f"Received: target.shape={tuple(target.shape)}, {name}.shape={tuple(value.shape)}"
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


def check_regularisation(fastemit_lambda: float, clamp: float | None) -> None:
    """Raises ValueError unless both are in their ranges."""
    if fastemit_lambda < 0:
        raise ValueError(
            f"`fastemit_lambda` has to be 0 or more. Received: fastemit_lambda={fastemit_lambda}"
        )
    if clamp is not None and not clamp > 0:
        raise ValueError(f"`clamp` has to be above 0, or None. Received: clamp={clamp}")


def lattice_labels(
    target: Any, target_length: Any, output_length: Any, frames: Any, vocabulary: Any, blank_id: Any
) -> tuple[Any, Any]:
    """Each column's label, and which utterances are legal: what no compiled graph can raise for.

    Returns:
        Labels (batch, U + 1), the blank in columns without one. Bools (batch,), False where a
        length is past its tensor or a label is the blank or outside the vocabulary.
    """
    batch, labels = ops.shape(target)
    is_label = ops.arange(labels, dtype="int32")[None] < target_length[:, None]  # (batch, U)
    wrong = (target < 0) | (target >= vocabulary) | ops.equal(target, blank_id)
    legal = ops.logical_not(ops.any(ops.logical_and(is_label, wrong), axis=1))
    legal &= (target_length >= 0) & (target_length <= labels)
    legal &= (output_length >= 0) & (output_length <= frames)
    target = ops.where(ops.logical_and(is_label, ops.logical_not(wrong)), target, blank_id)
    # The lattice's last column has no label arc. The blank is the one entry that is always there.
    no_label = ops.full((batch, 1), blank_id, dtype="int32")
    return ops.concatenate([target, no_label], axis=1), legal


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
