"""Masks that say which frames of a padded batch are real.

A mask is a boolean tensor (batch, time), true where a frame belongs to the utterance. It comes from
lengths, never from zeros in the data: silence is data.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_contextnet.backend import custom_gradient, multiply_no_nan, once_in_graph


def mask_from_length(length: Any, size: Any) -> Any:
    """Returns the mask (batch, size) of utterances of the given lengths (batch,)."""
    positions = ops.expand_dims(ops.arange(size, dtype="int32"), 0)  # (1, size)
    return positions < ops.expand_dims(ops.cast(length, "int32"), 1)


def length_from_mask(mask: Any) -> Any:
    """Returns the lengths (batch,), int32, of a mask (batch, time)."""
    return ops.sum(ops.cast(mask, "int32"), axis=1)


def sequence_length(inputs: Any, mask: Any | None) -> Any:
    """Returns lengths (batch,), int32; without a mask, all of inputs (batch, time, channels)."""
    if mask is not None:
        return length_from_mask(mask)
    batch, time, _ = ops.shape(inputs)
    return ops.broadcast_to(ops.cast(time, "int32"), (batch,))


def zero_padding(inputs: Any, mask: Any | None, done: bool = False) -> Any:
    """Sets the frames outside the mask to zero, unless that is done.

    Args:
        inputs: tensor (batch, time, channels), or its rows (batch * time, channels).
        mask: boolean tensor (batch, time), or None for none.
        done: bool. Whether the frames outside the mask are zero already.
    """
    if mask is None or done:
        return inputs
    weights = frame_weights(mask, inputs.dtype)  # (batch, time, 1)
    if len(inputs.shape) == 2:
        weights = ops.reshape(weights, (-1, 1))
    return _select(inputs, constants=(weights,))


@once_in_graph
def frame_weights(mask: Any, dtype: Any) -> Any:
    """Returns weights (batch, time, 1), 1 inside the mask and 0 outside."""
    return ops.expand_dims(ops.cast(mask, dtype), -1)


@once_in_graph
def row_weights(mask: Any) -> Any:
    """Returns the weights of a batch's frames in one column, (batch * time, 1), float32."""
    return ops.reshape(ops.cast(mask, "float32"), (-1, 1))


@once_in_graph
def frame_count(mask: Any, least: float = 0.0) -> Any:
    """Returns how many frames are inside the mask, or `least` if they are fewer; float32."""
    return ops.maximum(ops.sum(row_weights(mask)), least)


@custom_gradient
def _select(inputs: Any, weights: Any) -> tuple[Any, Any]:
    """A selection, since a product would keep NaN in the padding."""

    def gradient(upstream: Any) -> tuple[Any]:
        return (multiply_no_nan(upstream, weights),)

    return ops.where(weights > 0, inputs, ops.zeros((), dtype=inputs.dtype)), gradient


def stride_mask(mask: Any | None, strides: int) -> Any | None:
    """Returns the mask of every `strides`-th frame, (batch, ceil(time / strides))."""
    if mask is None or strides == 1:
        return mask
    return mask[:, ::strides]


def stride_length(length: Any, strides: int) -> Any:
    """Returns how many frames are left of `length` when every `strides`-th is kept."""
    return None if length is None else (length + strides - 1) // strides


def check_sequence(layer: str, shape: tuple[int | None, ...]) -> None:
    """Raises a ValueError unless `shape` is (batch, time, channels) with known channels."""
    if len(shape) != 3 or shape[-1] is None:
        raise ValueError(
            f"{layer} expects inputs of shape (batch, time, channels) with a known number of "
            f"channels. Received: shape={tuple(shape)}. Add the missing axis with "
            "`keras.ops.expand_dims`, or give `keras.Input` its last dimension."
        )
