"""Greedy transducer decoding: the likeliest token of every frame, one step after another."""

from __future__ import annotations

from typing import Any

from keras import ops


def greedy_decode(
    encoder_output: Any,
    frame_length: Any,
    predictor: Any,
    joiner: Any,
    max_symbols_per_frame: int = 10,
) -> tuple[Any, Any, Any]:
    """Decodes a batch greedily; each row's tokens are what they would be alone.

    A row stays at a frame while it emits tokens, and moves on at a blank or after
    `max_symbols_per_frame` tokens. Blanks are never fed back. The predictor runs once for a token,
    not once for a frame. The loop is one that TensorFlow, JAX and LiteRT have built in.

    Args:
        encoder_output: tensor (batch, T, channels).
        frame_length: int tensor (batch,), frames of each row.
        predictor: the `Predictor`.
        joiner: the `Joiner`.
        max_symbols_per_frame: int. Bounds the loop; an untrained model reaches it.

    Returns:
        The tokens, int32 (batch, T * max_symbols_per_frame), -1 where a row has ended; how many
        there are, int32 (batch,); and the frame of each, int32 like the tokens.

    Example:

    ```python
    import numpy as np
    import keras_contextnet
    from keras_contextnet.decoding.greedy import greedy_decode

    predictor = keras_contextnet.Predictor(vocabulary_size=28, embedding_size=16, units=32)
    joiner = keras_contextnet.Joiner(vocabulary_size=28, units=32)
    frames = np.random.default_rng(0).normal(size=(2, 5, 64)).astype("float32")
    tokens, token_length, token_frame = greedy_decode(
        frames, np.array([5, 3]), predictor, joiner
    )
    print(tokens.shape, token_length.shape, token_frame.shape)  # (2, 50) (2,) (2, 50)
    ```

    Source: Graves, arXiv 1211.3711, section 2.4, without its beam.
    """
    projected = joiner.encoder_projection(encoder_output)  # (batch, T, units)
    batch, frames, units = ops.shape(projected)
    frames_in_rows = ops.reshape(projected, (-1, units))  # (batch * T, units)
    first_frame = ops.arange(batch, dtype="int32") * frames
    frame_length = ops.cast(frame_length, "int32")
    positions = ops.expand_dims(ops.arange(frames * max_symbols_per_frame, dtype="int32"), 0)

    def read_token(token: Any, state: list[Any]) -> list[Any]:
        output, state = predictor.step(token, state)
        return [joiner.predictor_projection(output), *state]

    start = ops.zeros_like(frame_length) + predictor.blank_id
    predicted = read_token(start, predictor.initial_state(batch))
    zeros = ops.zeros_like(frame_length)
    tokens = ops.zeros_like(positions) - 1 + ops.expand_dims(zeros, 1)  # (batch, positions)

    def running(frame: Any, *_: Any) -> Any:
        return ops.any(frame < frame_length)

    def advance(
        frame: Any, symbols: Any, count: Any, tokens: Any, token_frame: Any, *predicted: Any
    ) -> tuple:
        active = frame < frame_length  # (batch,)
        here = ops.take(frames_in_rows, first_frame + ops.minimum(frame, frames - 1), axis=0)
        logits = joiner.join(here, predicted[0])  # (batch, vocabulary)
        # top_k, since the argmax of Keras takes bitwise ops that LiteRT does not have.
        best = ops.cast(ops.squeeze(ops.top_k(logits, k=1)[1], axis=-1), "int32")
        emits = ops.logical_and(active, best != predictor.blank_id)

        write = ops.logical_and(ops.expand_dims(emits, 1), positions == ops.expand_dims(count, 1))
        tokens = ops.where(write, ops.expand_dims(best, 1), tokens)
        token_frame = ops.where(write, ops.expand_dims(frame, 1), token_frame)
        count = count + ops.cast(emits, "int32")
        symbols = symbols + ops.cast(emits, "int32")
        leaves = ops.logical_or(ops.logical_not(emits), symbols >= max_symbols_per_frame)
        symbols = ops.where(leaves, 0, symbols)
        frame = frame + ops.cast(leaves, "int32")

        def read_best() -> list[Any]:
            new = read_token(best, list(predicted[1:]))
            keep = ops.expand_dims(emits, 1)
            return [ops.where(keep, n, old) for n, old in zip(new, predicted, strict=True)]

        updated = ops.cond(ops.any(emits), read_best, lambda: list(predicted))
        return (frame, symbols, count, tokens, token_frame, *updated)

    _, _, count, tokens, token_frame, *_ = ops.while_loop(
        running, advance, (zeros, zeros, zeros, tokens, tokens, *predicted)
    )
    return tokens, count, token_frame
