"""The label of each lattice column, and which utterances are legal at all."""

from typing import Any

from keras import ops

from keras_contextnet.layers.masking import mask_from_length


def legal_labels(
    target: Any,
    target_length: Any,
    output_length: Any,
    frames: Any,
    vocabulary: Any,
    blank_id: Any,
) -> tuple[Any, Any]:
    """Labels that are safe to look up, and True where an utterance's numbers make sense.

    Args:
        target: Integer tensor (batch, U). Past an utterance's length it may hold anything.
        target_length: Integer tensor (batch,).
        output_length: Integer tensor (batch,).
        frames: T.
        vocabulary: Size of the vocabulary.
        blank_id: Integer, 0 or more.

    Returns:
        An int32 tensor (batch, U + 1), the blank wherever there is no label, as in the lattice's
        last column; and a boolean tensor (batch,), False where a length is outside the tensors, or
        a label outside the vocabulary or the blank.
    """
    _, labels = ops.shape(target)
    is_label = mask_from_length(target_length, labels)  # (batch, U)
    wrong = (target < 0) | (target >= vocabulary) | ops.equal(target, blank_id)
    legal = ops.logical_not(ops.any(ops.logical_and(is_label, wrong), axis=1))
    legal &= (target_length >= 0) & (target_length <= labels)
    legal &= (output_length >= 0) & (output_length <= frames)

    target = ops.where(ops.logical_and(is_label, ops.logical_not(wrong)), target, blank_id)
    no_label = ops.full_like(target_length, blank_id)[:, None]
    return ops.concatenate([target, no_label], axis=1), legal
