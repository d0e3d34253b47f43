"""Which utterances share a batch: of similar lengths, and others in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Few enough that a bucket's utterances are of similar lengths, enough that batches vary.
BATCHES_PER_BUCKET = 8


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
    durations: np.ndarray, batch_size: int, batch_seconds: float | None, by_length: bool
) -> list[Bucket]:
    """Divides utterances into buckets from which batches are drawn.

    Args:
        durations: The lengths `(utterances,)` in seconds.
        batch_size: Utterances per batch.
        batch_seconds: Seconds per batch, padding included, in place of `batch_size`. An utterance
            longer than that is a batch of its own.
        by_length: Whether buckets hold similar lengths, from the longest to the shortest. Otherwise
            there is one bucket, in the given order.

    Returns:
        A list of `Bucket`. All but the last hold whole batches.
    """
    order = np.argsort(-durations, kind="stable") if by_length else np.arange(len(durations))
    buckets = []
    while len(order):
        if batch_seconds is not None:
            batch_size = max(1, int(batch_seconds // durations[order].max()))
        taken = BATCHES_PER_BUCKET * batch_size if by_length else len(order)
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
