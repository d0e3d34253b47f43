import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.data.batching import epoch_batches, make_buckets

DURATIONS = st.lists(st.floats(0.1, 30), min_size=1, max_size=300).map(np.array)


@settings(max_examples=60, deadline=None)
@given(
    DURATIONS, st.integers(1, 40), st.none() | st.floats(1, 300), st.booleans(), st.integers(0, 9)
)
def test_every_utterance_once_in_as_many_batches_every_epoch(
    durations, batch_size, batch_seconds, by_length, seed
):
    buckets = make_buckets(durations, batch_size, batch_seconds, by_length)
    generator = np.random.default_rng(seed)
    count = len(epoch_batches(buckets, None, drop_remainder=False))
    for _ in range(3):
        batches = epoch_batches(buckets, generator, drop_remainder=False)
        assert sorted(np.concatenate(batches)) == list(range(len(durations)))
        assert len(batches) == count
        for batch in batches:
            if batch_seconds is None:
                assert len(batch) <= batch_size
            else:
                padded = len(batch) * durations[batch].max()
                assert padded <= batch_seconds * (1 + 1e-9) or len(batch) == 1
    if batch_seconds is None:
        assert count == -(-len(durations) // batch_size)


@settings(max_examples=30, deadline=None)
@given(DURATIONS, st.integers(1, 40))
def test_drop_remainder(durations, batch_size):
    buckets = make_buckets(durations, batch_size, None, by_length=True)
    batches = epoch_batches(buckets, np.random.default_rng(0), drop_remainder=True)
    assert len(batches) == len(durations) // batch_size
    assert all(len(batch) == batch_size for batch in batches)


def test_order_without_shuffling():
    durations = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    in_order = epoch_batches(make_buckets(durations, 2, None, by_length=False), None, False)
    assert [b.tolist() for b in in_order] == [[0, 1], [2, 3], [4]]
    longest_first = epoch_batches(make_buckets(durations, 2, None, by_length=True), None, False)
    assert [b.tolist() for b in longest_first] == [[3, 4], [1, 2], [0]]


def padding(batches, durations):
    padded = sum(len(batch) * durations[batch].max() for batch in batches)
    return 1 - durations.sum() / padded


def test_buckets_save_padding_and_still_vary():
    durations = np.random.default_rng(0).uniform(2, 16, 2000)
    buckets = make_buckets(durations, 16, None, by_length=True)
    generator = np.random.default_rng(0)
    first, second = (epoch_batches(buckets, generator, False) for _ in range(2))
    plain = make_buckets(durations, 16, None, by_length=False)
    assert padding(epoch_batches(plain, generator, False), durations) > 0.3
    assert padding(first, durations) < 0.06
    assert padding(second, durations) < 0.06
    assert not {frozenset(b.tolist()) for b in first} & {frozenset(b.tolist()) for b in second}
