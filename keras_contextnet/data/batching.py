"""Which utterances share a batch: of similar lengths, and others in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Few enough that a bucket's utterances are of similar lengths, enough that batches vary.
BATCHES_PER_BUCKET = 8


@dataclass(frozen=True)
class BatchLimits:
    """How much a batch may hold, padding included.

    An utterance that alone is more than that is a batch of its own.

    Args:
        size: Utterances, where `seconds` is not given.
        seconds: Seconds of audio: the longest utterance times their number.
        tokens: Tokens: the longest transcript times the number of utterances.
        devices: Devices that share a batch. The limits are those of one device's part.
    """

    size: int = 16
    seconds: float | None = None
    tokens: int | None = None
    devices: int = 1

    def batch_size(self, longest: float, most_tokens: int) -> int:
        """Returns how many utterances fit that are at most so long, with at most so many tokens."""
        size = self.size if self.seconds is None else int(self.seconds // longest)
        if self.tokens is not None:
            size = min(size, self.tokens // max(1, most_tokens))
        return self.devices * max(1, size)


@dataclass(frozen=True)
class Bucket:
    """Utterances of similar lengths.

    Args:
        indices: The utterances' places in the data set.
        batch_size: How many of them make a batch.
    """

    indices: np.ndarray
    batch_size: int


def make_buckets(
    durations: np.ndarray, token_counts: np.ndarray, limits: BatchLimits, by_length: bool
) -> list[Bucket]:
    """Divides utterances into buckets from which batches are drawn.

    Args:
        durations: The lengths `(utterances,)` in seconds.
        token_counts: The lengths of the transcripts `(utterances,)` in tokens.
        limits: How much a batch may hold.
        by_length: Whether buckets hold similar lengths, from the longest to the shortest. Otherwise
            there is one bucket, in the given order.

    Returns:
        A list of `Bucket`. All but the last hold whole batches.
    """
    if not by_length:
        everything = np.arange(len(durations))
        return [Bucket(everything, limits.batch_size(durations.max(), token_counts.max()))]
    order = np.argsort(-durations, kind="stable")
    buckets = []
    while len(order):
        # The first is the longest. Its fellows' transcripts are known once it is how many they are;
        # fewer of them have no longer ones.
        batch_size = limits.batch_size(durations[order[0]], 0)
        fellows = order[: BATCHES_PER_BUCKET * batch_size]
        batch_size = limits.batch_size(durations[order[0]], token_counts[fellows].max())
        taken = BATCHES_PER_BUCKET * batch_size
        buckets.append(Bucket(order[:taken], batch_size))
        order = order[taken:]
    return buckets


def epoch_batches(
    buckets: list[Bucket], generator: np.random.Generator | None, drop_remainder: bool
) -> list[np.ndarray]:
    """Draws one epoch's batches. Their number is the same in every epoch.

    Args:
        buckets: What `make_buckets` returned.
        generator: Shuffles inside the buckets, and the batches. `None` keeps the buckets' order.
        drop_remainder: Whether to leave out a last batch that is not full.

    Returns:
        A list of index arrays, each a batch.
    """
    batches = []
    for bucket in buckets:
        indices = bucket.indices if generator is None else generator.permutation(bucket.indices)
        for start in range(0, len(indices), bucket.batch_size):
            batch = indices[start : start + bucket.batch_size]
            if len(batch) == bucket.batch_size or not drop_remainder:
                batches.append(batch)
    if generator is not None:
        generator.shuffle(batches)
    return batches
