"""What is in which batch of which epoch, before anything is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_contextnet.data.audio import AudioError, audio_duration
from keras_contextnet.data.batching import BatchLimits, epoch_batches, make_buckets
from keras_contextnet.data.limits import UtteranceLimits
from keras_contextnet.data.manifest import Utterance
from keras_contextnet.data.skipped import SkippedUtterances

if TYPE_CHECKING:
    from keras_contextnet.text.tokenizer import Tokenizer


class EpochPlan:
    """Says which utterances make each batch of each epoch.

    The plan follows from its arguments alone: a run that is started again with the same ones finds
    the same batches, and goes on where it was. `len()` is the number of batches an epoch, the same
    in every epoch. `dataset_from_plan` reads it.

    Args:
        utterances: What to learn from, from `read_manifest` or `read_librispeech`.
        tokenizer: Turns transcripts into token ids.
        batch_size: Utterances per batch.
        batch_seconds: Seconds of audio per batch, padding included, in place of `batch_size`:
            short utterances then come in larger batches. An utterance longer than that is a batch
            of its own. `SpeedPerturbation` makes audio longer than that by its slowest speed.
        batch_tokens: Tokens per batch, padding included (the longest transcript times the
            utterances), besides. It bounds the lattice of a transducer's loss, (batch, T, U + 1,
            vocabulary): batch x U is this, and T follows from the longest utterance.
        shuffle: Whether every epoch has other batches in another order.
        seed: The epochs' orders follow from it, and what augmentation draws.
        bucket: Whether a batch has utterances of similar lengths, so that little is padded; without
            `shuffle` the longest come first. Defaults to `shuffle`: otherwise results stay in the
            order of `utterances`.
        max_duration: Leave out longer utterances, in seconds.
        max_tokens: Leave out utterances whose transcripts have more tokens.
        max_tokens_per_second: Leave out utterances whose transcripts cannot have been said in that
            time. An encoder with a frame every 80 ms has 12.5 a second, and CTC cannot learn more
            tokens than frames.
        drop_remainder: Whether to leave out a last batch that is not full.
        on_error: `"raise"`, or `"skip"` to leave out audio files that cannot be read.
        devices: Devices that share each batch. `batch_size`, `batch_seconds` and `batch_tokens` are
            then those of one device's part. What is missing to a multiple of their number, in the
            last batch, is made up by rows without audio, text or weight.
        sampled_words: The share of words, 0 to 1, whose pieces are drawn anew in every epoch
            (`SentencePieceTokenizer.sample`), for transcripts that would be learnt by heart. Limits
            and batches go by the usual pieces; drawn ones are more.

    Attributes:
        utterances: Those that were not left out, a list.
        tokens: Their token ids, a list of lists.
        skipped: `SkippedUtterances`, those that were; with `on_error="skip"` more may follow while
            audio is read.
        devices: As given.
        sampled_words: As given.
        tokenizer: As given.
        dropped_batches: Pairs (epoch, batch) of which nothing could be read, as far as was read.

    Raises:
        ValueError: If there are no utterances, or an argument is out of range.
        AudioError: If the length of an audio file is needed and cannot be read.

    Example:

    ```python
    from keras_contextnet.data import EpochPlan, example_utterances
    from keras_contextnet.text import english_tokenizer

    plan = EpochPlan(example_utterances(), english_tokenizer(), batch_size=4, shuffle=True, seed=1)
    for number, batch in enumerate(plan.batches(epoch=0)):
        print(number, [utterance.id for utterance in batch])
    ```
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        tokenizer: Tokenizer,
        batch_size: int = 16,
        batch_seconds: float | None = None,
        batch_tokens: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        bucket: bool | None = None,
        max_duration: float | None = None,
        max_tokens: int | None = None,
        max_tokens_per_second: float | None = None,
        drop_remainder: bool = False,
        on_error: str = "raise",
        devices: int = 1,
        sampled_words: float = 0.0,
    ):
        check_positive(
            batch_size=batch_size,
            batch_seconds=batch_seconds,
            batch_tokens=batch_tokens,
            max_duration=max_duration,
            max_tokens=max_tokens,
            max_tokens_per_second=max_tokens_per_second,
            devices=devices,
        )
        if on_error not in ("raise", "skip"):
            raise ValueError(f"Expected on_error to be 'raise' or 'skip'. Received: {on_error!r}.")
        self.shuffle, self.seed = shuffle, seed
        self.drop_remainder, self.on_error = drop_remainder, on_error
        self.devices = devices
        self.tokenizer, self.sampled_words = tokenizer, sampled_words
        _check_sampled_words(sampled_words, tokenizer)
        self.skipped = SkippedUtterances()
        self.dropped_batches: set[tuple[int, int]] = set()

        bucket = shuffle if bucket is None else bucket
        limits = UtteranceLimits(max_duration, max_tokens, max_tokens_per_second)
        utterances = list(utterances)
        tokens = tokenizer.encode_batch(utterance.text for utterance in utterances)
        # Headers are read only where a length matters and is not in the manifest.
        timed = bucket or batch_seconds is not None or limits.are_of_time
        durations = [self._duration(utterance) if timed else 1.0 for utterance in utterances]
        kept = [
            i
            for i, utterance in enumerate(utterances)
            if durations[i] is not None
            and self._is_within(limits, utterance, durations[i], len(tokens[i]))
        ]
        if not kept:
            raise ValueError(
                f"Expected at least one utterance. Received: {len(utterances)} utterances, none of "
                f"which can be read and has at most max_duration={max_duration} s, "
                f"max_tokens={max_tokens} and max_tokens_per_second={max_tokens_per_second}."
            )
        self.utterances = [utterances[i] for i in kept]
        self.tokens = [tokens[i] for i in kept]
        self._buckets = make_buckets(
            np.array([durations[i] for i in kept]),
            np.array([len(tokens[i]) for i in kept]),
            BatchLimits(batch_size, batch_seconds, batch_tokens, devices),
            by_length=bucket,
        )
        self._count = len(epoch_batches(self._buckets, None, drop_remainder))
        if not self._count:
            raise ValueError(
                f"Expected a full batch with drop_remainder. Received: {len(kept)} utterances and "
                f"batch_size={batch_size}, batch_seconds={batch_seconds}, "
                f"batch_tokens={batch_tokens}."
            )

    def __len__(self) -> int:
        return self._count

    def batches(self, epoch: int) -> list[list[Utterance]]:
        """Returns the utterances of each batch of an epoch, in order.

        Args:
            epoch: The number of the epoch, from 0.
        """
        return [[self.utterances[i] for i in batch] for batch in self.batch_indices(epoch)]

    def batch_indices(self, epoch: int) -> list[np.ndarray]:
        """Returns the same as `batches`, as places in `utterances` and `tokens`.

        Args:
            epoch: The number of the epoch, from 0.
        """
        generator = np.random.default_rng([self.seed, epoch]) if self.shuffle else None
        return epoch_batches(self._buckets, generator, self.drop_remainder)

    def position_after(self, steps: int, start: tuple[int, int] = (0, 0)) -> tuple[int, int]:
        """Returns where a run goes on: the epoch and the batch that come next.

        Args:
            steps: How many batches the run was given. Those in `dropped_batches` were not.
            start: The epoch and the batch at which it began.
        """
        place = start[0] * len(self) + start[1]
        dropped = sorted(epoch * len(self) + batch for epoch, batch in self.dropped_batches)
        next_place = place + steps
        for dropped_place in dropped:
            if place <= dropped_place <= next_place:
                next_place += 1
        return divmod(next_place, len(self))

    def _duration(self, utterance: Utterance) -> float | None:
        if utterance.duration is not None:
            return utterance.duration
        try:
            return audio_duration(utterance.audio)
        except AudioError as error:
            if self.on_error == "raise":
                raise
            self.skipped.add(utterance, str(error))
            return None

    def _is_within(
        self, limits: UtteranceLimits, utterance: Utterance, duration: float, tokens: int
    ) -> bool:
        reason = limits.exceeded_by(duration, tokens)
        if reason is not None:
            self.skipped.add(utterance, reason, level=logging.INFO)
        return reason is None


def check_positive(**arguments: float | None) -> None:
    """Raises a `ValueError` for an argument that is given and not above 0."""
    for name, value in arguments.items():
        if value is not None and not value > 0:
            raise ValueError(f"Expected {name} to be positive. Received: {name}={value!r}.")


def _check_sampled_words(sampled_words: float, tokenizer: Tokenizer) -> None:
    # Here, as who reads audio alone is spared what tokenizers need.
    from keras_contextnet.text.tokenizer import require_share

    require_share("sampled_words", sampled_words)
    if sampled_words and not hasattr(tokenizer, "sample"):
        raise ValueError(
            "Expected a tokenizer that can divide a word in several ways, a "
            f"SentencePieceTokenizer, with sampled_words={sampled_words}. Received: "
            f"{type(tokenizer).__name__}. Leave sampled_words at 0 with it."
        )
