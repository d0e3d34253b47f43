import dataclasses

import numpy as np
import pytest
import soundfile

import keras_contextnet as kc
from keras_contextnet.data.batch_loader import BatchLoader

LENGTHS = (800, 300, 500, 400, 700)


@pytest.fixture
def utterances(tmp_path):
    rng = np.random.default_rng(0)
    for i, samples in enumerate(LENGTHS):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.normal(size=samples), 16000)
    return [
        kc.data.Utterance(str(i), tmp_path / f"{i}.wav", "abcde"[: i + 1], samples / 16000)
        for i, samples in enumerate(LENGTHS)
    ]


def make_plan(utterances, **arguments):
    return kc.data.EpochPlan(utterances, kc.text.CharacterTokenizer(), **arguments)


def load(plan, batch, part=(0, 1)):
    return BatchLoader(plan, 16000, (), part)(0, batch, plan.batch_indices(0)[batch])


def test_limits_are_those_of_one_device(utterances):
    assert [len(b) for b in make_plan(utterances, batch_size=1, devices=3).batches(0)] == [3, 2]
    plan = make_plan(utterances, batch_seconds=0.05, shuffle=True, devices=2)
    assert sorted(len(batch) for batch in plan.batches(0)) == [1, 2, 2]


def test_a_last_batch_is_made_up_to_a_multiple_of_the_devices(utterances):
    audio, audio_length, tokens, token_length, weight = load(
        make_plan(utterances, batch_size=1, devices=4), batch=1
    )
    assert audio.shape == (4, 700)
    np.testing.assert_array_equal(audio_length, [700, 0, 0, 0])
    np.testing.assert_array_equal(token_length, [5, 0, 0, 0])
    np.testing.assert_array_equal(weight, [4, 0, 0, 0])
    assert not audio[1:].any()
    assert not tokens[1:].any()


def test_parts_are_the_batch_without_what_pads_them(utterances):
    plan = make_plan(utterances, batch_size=2, devices=2)
    for batch in range(2):
        whole = load(plan, batch)
        parts = [load(plan, batch, (number, 2)) for number in range(2)]
        for array, *halves in zip(whole, *parts, strict=True):
            rows = [row for half in halves for row in half]
            assert len(rows) == len(array)
            for row, expected in zip(rows, array, strict=True):
                row, expected = np.atleast_1d(row, expected)
                np.testing.assert_array_equal(row, expected[: len(row)])
                assert not expected[len(row) :].any()


def test_what_cannot_be_read_leaves_a_row_without_weight(utterances):
    utterances[1].audio.write_bytes(b"no audio")
    plan = make_plan(utterances, batch_size=2, devices=2, on_error="skip")
    _, audio_length, _, _, weight = load(plan, batch=0)
    np.testing.assert_array_equal(audio_length, [800, 0, 500, 400])
    np.testing.assert_allclose(weight, [4 / 3, 0, 4 / 3, 4 / 3], rtol=1e-6)
    assert not plan.dropped_batches


def test_a_part_has_to_be_one_of_the_devices(utterances):
    plan = make_plan(utterances, devices=2)
    for part in ((2, 2), (0, 3), (0, 0)):
        with pytest.raises(ValueError, match=r"Expected part to be .* devices, 2\. Received"):
            kc.data.dataset_from_plan(plan, part=part)


def test_data_sets_for_several_devices_have_weights(utterances):
    plan = make_plan(utterances, batch_size=1, devices=2)
    elements = list(kc.data.dataset_from_plan(plan, part=(1, 2)))
    assert len(elements) == len(plan) == 3
    x, y, weight = elements[2]
    assert x["audio"].shape == (1, 1)
    assert y["tokens"].shape == (1, 1)
    np.testing.assert_array_equal(weight, [0])


def test_pieces_of_words_are_drawn_anew_in_every_epoch(utterances):
    text = "a winter evening by the river"
    utterances = [dataclasses.replace(utterance, text=text) for utterance in utterances]
    tokenizer = kc.text.english_tokenizer()

    def tokens(epoch, **arguments):
        plan = kc.data.EpochPlan(utterances, tokenizer, batch_size=5, **arguments)
        _, _, rows, lengths = BatchLoader(plan, 16000, ())(epoch, 0, plan.batch_indices(0)[0])
        return [row[:length].tolist() for row, length in zip(rows, lengths, strict=True)]

    assert tokens(0) == tokens(1) == [tokenizer.encode(text)] * 5
    drawn = tokens(0, sampled_words=1.0)
    assert {tokenizer.decode(row) for row in drawn} == {text}
    assert len({tuple(row) for row in drawn}) > 1
    assert tokens(0, sampled_words=1.0) == drawn
    assert tokens(1, sampled_words=1.0) != drawn
    assert tokens(0, sampled_words=1.0, seed=1) != drawn
