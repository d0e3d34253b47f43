"""Beam search for transducers: several transcripts at once, by their summed probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

# The logarithm of no probability: finite, since infinity less infinity is not a number.
NEVER = -1e30


class Paths(NamedTuple):
    """Transcripts, and how far each has come in the lattice."""

    score: Any  # (batch, paths), log probability; NEVER where there is no transcript
    frame: Any  # (batch, paths), the one to read next
    symbols: Any  # (batch, paths), tokens so far of that frame
    count: Any  # (batch, paths), tokens so far in all
    tokens: Any  # (batch, paths, N), -1 from `count` on
    token_frame: Any  # (batch, paths, N), likewise


def beam_decode(
    encoder_output: Any,
    frame_length: Any,
    predictor: Any,
    joiner: Any,
    beam_width: int = 4,
    max_symbols_per_frame: int = 10,
) -> tuple[Any, Any, Any]:
    """Decodes a batch by beam search; each row's tokens are what they would be alone.

    In every step each transcript of the beam goes on by a symbol, a token or a blank, and the
    likeliest of the results are kept: what is compared has come equally far in the lattice. Two
    paths to one transcript are added. A beam of 1 gives what `greedy_decode` gives.

    Args:
        encoder_output: tensor (batch, T, channels).
        frame_length: int tensor (batch,), frames of each row.
        predictor: the `Predictor`. It runs once a step, for the whole beam.
        joiner: the `Joiner`.
        beam_width: int. Transcripts that are followed in each row.
        max_symbols_per_frame: int. Tokens that a transcript may have in one frame.

    Returns:
        As of `greedy_decode`: the tokens, int32 (batch, T * max_symbols_per_frame), -1 where a row
        has ended; how many there are, int32 (batch,); and the frame of each, int32 like the tokens.

    Example:

    ```python
    import numpy as np
    import keras_contextnet
    from keras_contextnet.decoding import beam_decode

    predictor = keras_contextnet.Predictor(vocabulary_size=28, embedding_size=16, units=32)
    joiner = keras_contextnet.Joiner(vocabulary_size=28, units=32)
    frames = np.random.default_rng(0).normal(size=(2, 5, 64)).astype("float32")
    tokens, token_length, token_frame = beam_decode(
        frames, np.array([5, 3]), predictor, joiner, beam_width=4
    )
    print(tokens.shape, token_length.shape, token_frame.shape)  # (2, 50) (2,) (2, 50)
    ```

    Source: Saon, Tüske and Audhkhasi, "Alignment-Length Synchronous Decoding for RNN Transducer",
    ICASSP 2020, algorithm 1.
    """
    projected = joiner.encoder_projection(encoder_output)  # (batch, T, units)
    search = _Search(projected, frame_length, predictor, joiner, max_symbols_per_frame)
    _, _, best = ops.while_loop(search.running, search.advance, search.start(beam_width))
    return best.tokens[:, 0], best.count[:, 0], best.token_frame[:, 0]


class _Search:
    """The loop over steps: where it starts, whether it goes on, and what a step does.

    Its variables are the beam; what the predictor makes of each transcript of the beam (its
    projected output and its state, (batch, beam, units) each); and of each row the likeliest
    transcript, (batch, 1), that has read all frames.
    """

    def __init__(
        self,
        projected: Any,
        frame_length: Any,
        predictor: Any,
        joiner: Any,
        max_symbols_per_frame: int,
    ) -> None:
        self.projected = projected
        self.frame_length = ops.expand_dims(ops.cast(frame_length, "int32"), 1)  # (batch, 1)
        self.predictor, self.joiner = predictor, joiner
        self.max_symbols = max_symbols_per_frame
        frames = ops.shape(projected)[1]
        self.last_frame = frames - 1
        self.positions = ops.arange(frames * max_symbols_per_frame, dtype="int32")
        self.ids = ops.arange(joiner.vocabulary_size, dtype="int32")
        self.is_token = self.ids != predictor.blank_id

    def start(self, beam_width: int) -> tuple[Paths, list[Any], Paths]:
        """In each row that has frames, a beam of one transcript, which is empty."""
        zeros = ops.zeros_like(self.frame_length) + ops.zeros((1, beam_width), dtype="int32")
        none = ops.expand_dims(zeros, 2) - 1 + ops.zeros_like(self.positions)
        begins = ops.logical_and(ops.arange(beam_width) == 0, self.frame_length > 0)
        beam = Paths(ops.where(begins, 0.0, NEVER), zeros, zeros, zeros, none, none)
        rows = ops.shape(self.frame_length)[0] * beam_width
        predicted = self._read(zeros + self.predictor.blank_id, self.predictor.initial_state(rows))
        best = Paths(*(values[:, :1] for values in beam))
        return beam, predicted, best._replace(score=ops.full_like(best.score, NEVER))

    def running(self, beam: Paths, predicted: list[Any], best: Paths) -> Any:
        """Whether there is a transcript that may become its row's likeliest."""
        return ops.any(_exists(beam))

    def advance(
        self, beam: Paths, predicted: list[Any], best: Paths
    ) -> tuple[Paths, list[Any], Paths]:
        """Goes on by one symbol in every transcript, and keeps the likeliest."""
        scores = self._add_equal(beam, self._scores(beam, predicted[0]))
        width, vocabulary = scores.shape[1:]
        score, place = _top(ops.reshape(scores, (-1, width * vocabulary)), width)
        parent = place // vocabulary  # (batch, beam), from which transcript each comes
        symbol = place - parent * vocabulary

        beam = self._extend(_pick_paths(beam, parent), symbol)._replace(score=score)
        ends = beam.frame >= self.frame_length
        best = _concatenate(best, _only(ends, beam))
        best = _pick_paths(best, _top(best.score, 1)[1])
        # Scores never rise.
        beam = _only(ops.logical_and(ops.logical_not(ends), beam.score > best.score), beam)
        return beam, self._predict(predicted, parent, symbol, _exists(beam)), best

    def _scores(self, beam: Paths, prediction: Any) -> Any:
        """Of each transcript and one symbol more, (batch, beam, vocabulary)."""
        frames = _pick(self.projected, ops.minimum(beam.frame, self.last_frame))
        logits = self.joiner.join(frames, prediction)  # (batch, beam, vocabulary)
        log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        full = ops.expand_dims(beam.symbols >= self.max_symbols, 2)
        log_probs = ops.where(ops.logical_and(full, self.is_token), NEVER, log_probs)
        return ops.expand_dims(beam.score, 2) + log_probs

    def _add_equal(self, beam: Paths, scores: Any) -> Any:
        """Adds to transcripts that move on the probability of writing them, which it takes away.

        Those of a beam differ, so that no more than two become equal: one by a blank and one by a
        token. Both have then read as many symbols, hence as many frames.
        """
        is_last = self.positions == ops.expand_dims(beam.count - 1, 2)  # (batch, beam, N)
        last = ops.max(ops.where(is_last, beam.tokens, -1), axis=2)  # -1 of the empty one
        without = ops.expand_dims(ops.where(is_last, -1, beam.tokens), 2)
        continues = ops.all(without == ops.expand_dims(beam.tokens, 1), axis=3)
        continues = ops.logical_and(continues, ops.expand_dims(_exists(beam), 2))
        equal = ops.logical_and(  # (batch, moved, beam, vocabulary)
            ops.expand_dims(continues, 3), ops.reshape(last, (-1, last.shape[1], 1, 1)) == self.ids
        )
        moved = scores[:, :, self.predictor.blank_id]
        other = ops.max(ops.where(equal, ops.expand_dims(scores, 1), NEVER), axis=(2, 3))
        larger, smaller = ops.maximum(moved, other), ops.minimum(moved, other)
        moved = larger + ops.log(1.0 + ops.exp(smaller - larger))
        scores = ops.where(ops.any(equal, axis=1), NEVER, scores)
        return ops.where(self.is_token, scores, ops.expand_dims(moved, 2))

    def _extend(self, beam: Paths, symbol: Any) -> Paths:
        """Each transcript behind one symbol more (batch, beam), without its score."""
        emits = symbol != self.predictor.blank_id
        here = self.positions == ops.expand_dims(beam.count, 2)  # (batch, beam, N)
        here = ops.logical_and(here, ops.expand_dims(emits, 2))
        emitted = ops.cast(emits, "int32")
        return beam._replace(
            frame=beam.frame + 1 - emitted,
            symbols=ops.where(emits, beam.symbols + 1, 0),
            count=beam.count + emitted,
            tokens=ops.where(here, ops.expand_dims(symbol, 2), beam.tokens),
            token_frame=ops.where(here, ops.expand_dims(beam.frame, 2), beam.token_frame),
        )

    def _predict(self, predicted: list[Any], parent: Any, symbol: Any, exists: Any) -> list[Any]:
        """What the predictor makes of transcripts that come from `parent`, by one symbol more."""
        old = [_pick(values, parent) for values in predicted]
        emits = ops.logical_and(symbol != self.predictor.blank_id, exists)
        emitted = ops.expand_dims(emits, 2)

        def read() -> list[Any]:
            states = [ops.reshape(state, (-1, state.shape[-1])) for state in old[1:]]
            new = self._read(symbol, states)
            return [ops.where(emitted, n, o) for n, o in zip(new, old, strict=True)]

        return ops.cond(ops.any(emits), read, lambda: old)

    def _read(self, token: Any, state: list[Any]) -> list[Any]:
        """Has the predictor read a token (batch, beam) in each state (batch * beam, units)."""
        output, state = self.predictor.step(ops.reshape(token, (-1,)), state)
        read = [self.joiner.predictor_projection(output), *state]
        return [ops.reshape(values, (-1, token.shape[1], values.shape[-1])) for values in read]


def _exists(paths: Paths) -> Any:
    return paths.score > 0.5 * NEVER


def _only(condition: Any, paths: Paths) -> Paths:
    return paths._replace(score=ops.where(condition, paths.score, NEVER))


def _concatenate(first: Paths, second: Paths) -> Paths:
    pairs = zip(first, second, strict=True)
    return Paths(*(ops.concatenate(pair, axis=1) for pair in pairs))


def _pick_paths(paths: Paths, places: Any) -> Paths:
    return Paths(*(_pick(values, places) for values in paths))


def _top(scores: Any, count: int) -> tuple[Any, Any]:
    values, places = ops.top_k(scores, k=count)
    return values, ops.cast(places, "int32")


def _pick(values: Any, places: Any) -> Any:
    """Takes from values (batch, n, ...) those at places (batch, m) of each row."""
    batch, count, *rest = ops.shape(values)
    first = ops.expand_dims(ops.arange(batch, dtype="int32"), 1) * count
    return ops.take(ops.reshape(values, (-1, *rest)), first + places, axis=0)
