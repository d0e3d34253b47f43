"""Greedy CTC decoding: the likeliest token of every frame, repeats collapsed, blanks dropped."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_contextnet.layers.masking import mask_from_length


def ctc_greedy_decode(logits: Any, frame_length: Any, blank_id: int) -> tuple[Any, Any, Any]:
    """Decodes a batch greedily; each row's tokens are what they would be alone.

    Args:
        logits: tensor (batch, T, vocabulary).
        frame_length: int tensor (batch,), frames of each row.
        blank_id: int. The id of the blank, from 0 up.

    Returns:
        As of `greedy_decode`: the tokens, int32 (batch, T), -1 where a row has ended; how many
        there are, int32 (batch,); and the frame of each, the first of its repeats, int32 like the
        tokens.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.decoding import ctc_greedy_decode

    best = np.array([[1, 1, 3, 1, 2, 2, 3]])
    logits = np.eye(4, dtype="float32")[best]  # (1, 7, 4)
    tokens, token_length, token_frame = ctc_greedy_decode(logits, np.array([7]), blank_id=3)
    print(np.asarray(tokens)[0], np.asarray(token_frame)[0, :3])  # [ 1  1  2 -1 -1 -1 -1] [0 3 4]
    ```

    Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.2, best path
    decoding.
    """
    batch, frames = ops.shape(logits)[0], ops.shape(logits)[1]
    # top_k, since the argmax of Keras takes bitwise ops that LiteRT does not have.
    best = ops.cast(ops.squeeze(ops.top_k(logits, k=1)[1], axis=-1), "int32")  # (batch, T)
    before = ops.concatenate([ops.full_like(best[:, :1], blank_id), best[:, :-1]], axis=1)
    begins = ops.logical_and(best != blank_id, best != before)
    begins = ops.logical_and(begins, mask_from_length(frame_length, frames))

    order = ops.cumsum(ops.cast(begins, "int32"), axis=1)  # 1 for the first token
    row = ops.expand_dims(ops.arange(batch, dtype="int32"), 1)
    place = ops.reshape(row * frames + ops.maximum(order - 1, 0), (-1, 1))  # (batch * T, 1)

    def in_order(values: Any) -> Any:
        """Moves `values` (batch, T) to the front where tokens begin; -1 fills the rest."""
        added = ops.reshape(ops.where(begins, values + 1, 0), (-1,))
        moved = ops.scatter(place, added, (batch * frames,))
        return ops.reshape(moved, (batch, frames)) - 1

    frame = ops.zeros_like(best) + ops.expand_dims(ops.arange(frames, dtype="int32"), 0)
    return in_order(best), ops.sum(ops.cast(begins, "int32"), axis=1), in_order(frame)
