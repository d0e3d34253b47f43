import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.data.batching import BatchLimits, epoch_batches, make_buckets

DURATIONS = st.lists(st.floats(0.1, 30), min_size=1, max_size=300).map(np.array)


def buckets_of(durations, by_length, token_counts=None, **limits):
    token_counts = np.zeros(len(durations), int) if token_counts is None else token_counts
    return make_buckets(durations, token_counts, BatchLimits(**limits), by_length)


@settings(max_examples=60, deadline=None)
@given(
    DURATIONS,
    st.integers(1, 40),
    st.none() | st.floats(1, 300),
    st.none() | st.integers(1, 900),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_utterance_once_in_as_many_batches_every_epoch(
    durations, size, seconds, tokens, by_length, seed
):
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 60, len(durations))
    limits = {"size": size, "seconds": seconds, "tokens": tokens}
    buckets = buckets_of(durations, by_length, counts, **limits)
    number = len(epoch_batches(buckets, None, drop_remainder=False))
    for _ in range(3):
        batches = epoch_batches(buckets, generator, drop_remainder=False)
        assert sorted(np.concatenate(batches)) == list(range(len(durations)))
        assert len(batches) == number
        for batch in batches:
            if seconds is None:
                assert len(batch) <= size
            elif len(batch) > 1:
                assert len(batch) * durations[batch].max() <= seconds * (1 + 1e-9)
            if tokens is not None and len(batch) > 1:
                assert len(batch) * counts[batch].max() <= tokens
    if seconds is None and tokens is None:
        assert number == -(-len(durations) // size)


def test_tokens_make_only_their_own_bucket_smaller():
    durations = np.linspace(20, 10, 160)
    token_counts = np.full(160, 10)
    token_counts[3] = 100
    buckets = buckets_of(durations, True, token_counts, size=8, tokens=200)
    assert [bucket.batch_size for bucket in buckets] == [2, 8, 8, 8]
    assert [len(bucket.indices) for bucket in buckets] == [16, 64, 64, 16]


@settings(max_examples=30, deadline=None)
@given(DURATIONS, st.integers(1, 40))
def test_drop_remainder(durations, batch_size):
    buckets = buckets_of(durations, True, size=batch_size)
    batches = epoch_batches(buckets, np.random.default_rng(0), drop_remainder=True)
    assert len(batches) == len(durations) // batch_size
    assert all(len(batch) == batch_size for batch in batches)


def test_order_without_shuffling():
    durations = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    in_order = epoch_batches(buckets_of(durations, False, size=2), None, False)
    assert [b.tolist() for b in in_order] == [[0, 1], [2, 3], [4]]
    longest_first = epoch_batches(buckets_of(durations, True, size=2), None, False)
    assert [b.tolist() for b in longest_first] == [[3, 4], [1, 2], [0]]


def padding(batches, durations):
    padded = sum(len(batch) * durations[batch].max() for batch in batches)
    return 1 - durations.sum() / padded


def test_buckets_save_padding_and_still_vary():
    durations = np.random.default_rng(0).uniform(2, 16, 2000)
    buckets = buckets_of(durations, True, size=16)
    generator = np.random.default_rng(0)
    first, second = (epoch_batches(buckets, generator, False) for _ in range(2))
    plain = buckets_of(durations, False, size=16)
    assert padding(epoch_batches(plain, generator, False), durations) > 0.3
    assert padding(first, durations) < 0.06
    assert padding(second, durations) < 0.06
    assert not {frozenset(b.tolist()) for b in first} & {frozenset(b.tolist()) for b in second}
