import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.data import AudioError, EpochPlan, Utterance
from keras_contextnet.text import CharacterTokenizer

# No files: a plan reads none whose durations are known.
UTTERANCES = [
    Utterance(f"u{i}", Path(f"u{i}.wav"), "abc " * (i % 5 + 1), duration=1.0 + i % 7)
    for i in range(60)
]


def plan_of(utterances=UTTERANCES, **arguments):
    return EpochPlan(utterances, CharacterTokenizer(), **arguments)


def test_batches_name_each_utterance_once():
    plan = plan_of(batch_seconds=20, shuffle=True)
    for epoch in range(3):
        batches = plan.batches(epoch)
        assert len(batches) == len(plan)
        assert sorted(u.id for batch in batches for u in batch) == sorted(u.id for u in UTTERANCES)
        assert all(len(b) * max(u.duration for u in b) <= 20 for b in batches)


def test_an_epoch_follows_from_its_number_and_the_seed():
    first, again = (plan_of(batch_size=4, shuffle=True, seed=3) for _ in range(2))
    epochs = [first.batches(epoch) for epoch in range(3)]
    # In whatever order they are asked for.
    assert [again.batches(epoch) for epoch in (2, 0, 1)] == [epochs[2], epochs[0], epochs[1]]
    assert epochs[0] != epochs[1] != epochs[2]
    assert plan_of(batch_size=4, shuffle=True, seed=4).batches(0) != epochs[0]
    assert plan_of(batch_size=4).batches(0) == plan_of(batch_size=4).batches(1)


def test_tokens_of_a_batch_are_bounded():
    plan = plan_of(batch_seconds=70, batch_tokens=100, shuffle=True)
    for batch in plan.batch_indices(0):
        assert len(batch) * max(len(plan.tokens[i]) for i in batch) <= 100
    assert len(plan) > len(plan_of(batch_seconds=70, shuffle=True))


def test_utterances_above_the_limits_are_left_out_and_named(caplog):
    with caplog.at_level(logging.INFO, logger="keras_contextnet"):
        plan = plan_of(max_duration=6.0, max_tokens=16, max_tokens_per_second=10.0)
    for utterance, tokens in zip(plan.utterances, plan.tokens, strict=True):
        assert utterance.duration <= 6
        assert len(tokens) <= 16
        assert len(tokens) / utterance.duration <= 10
    left_out = [utterance for utterance, _ in plan.skipped]
    assert sorted(left_out + plan.utterances, key=UTTERANCES.index) == UTTERANCES
    reasons = dict(plan.skipped)
    assert reasons[UTTERANCES[6]] == "Expected at most max_duration=6. Received: 7."
    assert reasons[UTTERANCES[4]] == "Expected at most max_tokens=16. Received: 20."
    assert reasons[UTTERANCES[7]] == "Expected at most max_tokens_per_second=10. Received: 12."
    assert len(caplog.records) == len(left_out) == len(plan.skipped)


def test_files_whose_length_cannot_be_read():
    unknown = [*UTTERANCES[:3], replace(UTTERANCES[3], duration=None)]
    plan = plan_of(unknown, shuffle=True, on_error="skip")
    assert plan.utterances == UTTERANCES[:3]
    ((utterance, reason),) = plan.skipped
    assert utterance is unknown[3]
    assert "u3.wav, which does not exist" in reason
    with pytest.raises(AudioError, match=r"u3\.wav, which does not exist"):
        plan_of(unknown, shuffle=True)
    with pytest.raises(ValueError, match="1 utterances, none of which can be read"):
        plan_of(unknown[3:], shuffle=True, on_error="skip")


@given(
    st.integers(0, 40),
    st.tuples(st.integers(0, 2), st.integers(0, 14)),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 14)), max_size=8),
)
def test_position_after_counts_the_batches_that_were_given(steps, start, dropped):
    plan = plan_of(batch_size=4)
    assert len(plan) == 15
    plan.dropped_batches |= dropped
    # By walking: dropped batches take no step.
    expected, left = start, steps
    while left or expected in dropped:
        left -= expected not in dropped
        epoch, batch = expected
        expected = (epoch, batch + 1) if batch < 14 else (epoch + 1, 0)
    assert plan.position_after(steps, start) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_tokens": 0}, "Expected batch_tokens to be positive. Received: batch_tokens=0"),
        ({"max_tokens_per_second": -1}, "Expected max_tokens_per_second to be positive"),
        ({"on_error": "ignore"}, "'raise' or 'skip'. Received: 'ignore'"),
        ({"sampled_words": 1.5}, "Expected sampled_words to be a share, from 0 to 1. Received: s"),
        ({"sampled_words": 0.2}, "Expected a tokenizer that can divide a word in several ways, a "),
        ({"max_tokens": 1}, "60 utterances, none of which can be read and has at most"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_of(**arguments)
