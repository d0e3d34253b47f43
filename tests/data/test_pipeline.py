import itertools
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_contextnet.data import (
    AudioError,
    EpochPlan,
    Utterance,
    dataset_from_plan,
    load_audio,
    make_dataset,
    read_manifest,
)
from keras_contextnet.data.augmentation import RandomGain, Reverberate, SpeedPerturbation
from keras_contextnet.text import CharacterTokenizer, english_tokenizer

tf = pytest.importorskip("tensorflow")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tokenizer():
    return english_tokenizer()


@pytest.fixture
def utterances():
    return read_manifest(ROOT / "examples/audio/manifest.jsonl")


def transcripts(dataset, tokenizer):
    """The texts of one epoch, batch by batch."""
    return [
        [
            tokenizer.decode(row[:n])
            for row, n in zip(y["tokens"].numpy(), y["token_length"].numpy(), strict=True)
        ]
        for _, y in dataset
    ]


def test_batches_hold_audio_and_tokens_in_order(utterances, tokenizer):
    dataset = make_dataset(utterances, tokenizer, batch_size=4)
    read = []
    for x, y in dataset:
        assert x["audio"].dtype == tf.float32
        assert {t.dtype for t in (x["audio_length"], y["tokens"], y["token_length"])} == {tf.int32}
        assert x["audio"].shape[1] == max(x["audio_length"].numpy())
        assert y["tokens"].shape[1] == max(y["token_length"].numpy())
        rows = (x["audio"], x["audio_length"], y["tokens"], y["token_length"])
        read += zip(*(t.numpy() for t in rows), strict=True)
    assert len(read) == len(utterances) == 10
    for utterance, (audio, samples, tokens, count) in zip(utterances, read, strict=True):
        np.testing.assert_array_equal(audio[:samples], load_audio(utterance.audio))
        assert not audio[samples:].any()
        assert tokens[:count].tolist() == tokenizer.encode(utterance.text)
        assert not tokens[count:].any()


def test_ranks_and_cardinality_are_known(utterances, tokenizer):
    dataset = make_dataset(utterances, tokenizer, batch_size=4, shuffle=True)
    x, y = dataset.element_spec
    assert x["audio"].shape.as_list() == y["tokens"].shape.as_list() == [None, None]
    assert x["audio_length"].shape.as_list() == y["token_length"].shape.as_list() == [None]
    assert dataset.cardinality() == len(list(dataset)) == 3
    assert make_dataset(utterances, tokenizer, 4, drop_remainder=True).cardinality() == 2
    endless = make_dataset(utterances, tokenizer, 4, repeat=True)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(endless.take(7))) == 7


def test_nothing_waits_for_the_tuner_of_tf_data(plan):
    assert dataset_from_plan(plan).options().autotune.enabled is False


def test_shuffling_follows_from_the_seed(utterances, tokenizer):
    def epochs(seed):
        dataset = make_dataset(utterances, tokenizer, batch_size=3, shuffle=True, seed=seed)
        return [transcripts(dataset, tokenizer) for _ in range(2)]

    first, second = epochs(seed=1)
    assert first != second
    assert epochs(seed=1) == [first, second]
    assert epochs(seed=2) != [first, second]
    for epoch in (first, second):
        assert sorted(flat(epoch)) == sorted(u.text for u in utterances)


def test_buckets_sort_by_length(utterances, tokenizer):
    dataset = make_dataset(utterances, tokenizer, batch_size=4, bucket=True)
    lengths = np.concatenate([x["audio_length"].numpy() for x, _ in dataset])
    assert (np.diff(lengths) <= 0).all()


def test_batch_seconds(utterances, tokenizer):
    dataset = make_dataset(utterances, tokenizer, batch_seconds=16, shuffle=True)
    sizes = []
    for x, _ in dataset:
        assert x["audio"].shape[0] * x["audio"].shape[1] <= 16 * 16000
        sizes.append(x["audio"].shape[0])
    assert sum(sizes) == 10
    assert dataset.cardinality() == len(sizes)
    assert max(sizes) >= 3
    # Longer than the limit: alone.
    alone = make_dataset(utterances, tokenizer, batch_seconds=1, shuffle=True)
    assert {x["audio"].shape[0] for x, _ in alone} == {1}


def test_filters(utterances, tokenizer):
    kept = flat(transcripts(make_dataset(utterances, tokenizer, max_duration=3), tokenizer))
    assert kept == [u.text for u in utterances if u.duration <= 3]
    kept = flat(transcripts(make_dataset(utterances, tokenizer, max_tokens=12), tokenizer))
    assert kept == [u.text for u in utterances if len(tokenizer.encode(u.text)) <= 12]
    assert 0 < len(kept) < 10
    with pytest.raises(
        ValueError, match="10 utterances, none of which can be read and has at most max_duration=1"
    ):
        make_dataset(utterances, tokenizer, max_duration=1)


def test_missing_durations_are_read_from_the_files(utterances, tokenizer):
    unknown = [replace(u, duration=None) for u in utterances]
    for arguments in ({"max_duration": 3}, {"bucket": True}):
        expected = make_dataset(utterances, tokenizer, **arguments)
        received = make_dataset(unknown, tokenizer, **arguments)
        assert transcripts(received, tokenizer) == transcripts(expected, tokenizer)


def test_sample_rate(utterances, tokenizer):
    x, _ = next(iter(make_dataset(utterances[:1], tokenizer, sample_rate=8000)))
    assert x["audio_length"].numpy().tolist() == [round(utterances[0].duration * 8000)]


def test_empty_transcript(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    utterance = Utterance("a", tmp_path / "a.wav", "")
    _, y = next(iter(make_dataset([utterance], CharacterTokenizer())))
    assert y["tokens"].shape == (1, 0)
    assert y["token_length"].numpy().tolist() == [0]


def flat(batches):
    return [text for batch in batches for text in batch]


@pytest.fixture
def with_bad_file(utterances, tmp_path):
    path = tmp_path / "broken.wav"
    path.write_text("this is not audio")
    return [*utterances[:3], Utterance("bad", path, "words", duration=3.0)]


@pytest.mark.parametrize("num_workers", [None, 2])
def test_an_unreadable_file_is_named(with_bad_file, tokenizer, num_workers):
    dataset = make_dataset(with_bad_file, tokenizer, batch_size=2, num_workers=num_workers)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"AudioError: .*broken\.wav"):
        list(dataset)
    unknown = [replace(with_bad_file[-1], duration=None)]
    with pytest.raises(AudioError, match=r"broken\.wav"):
        make_dataset(unknown, tokenizer, shuffle=True)


def test_unreadable_files_can_be_skipped(with_bad_file, tokenizer, caplog):
    for batch_size in (1, 2):
        dataset = make_dataset(with_bad_file, tokenizer, batch_size=batch_size, on_error="skip")
        caplog.clear()
        for _ in range(2):
            kept = transcripts(dataset, tokenizer)
            assert flat(kept) == [u.text for u in with_bad_file[:3]]
            assert all(kept)
        # Named once, not once an epoch.
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.name.startswith("keras_contextnet.")
        assert re.match(r"Left out bad\. .*broken\.wav", record.getMessage())
    unknown = [replace(u, duration=None) for u in with_bad_file]
    dataset = make_dataset(unknown, tokenizer, shuffle=True, on_error="skip")
    assert len(transcripts(dataset, tokenizer)[0]) == 3


def test_skipped_utterances_and_dropped_batches_are_in_the_plan(with_bad_file, tokenizer, tmp_path):
    samples = {"nan": [0.1, np.nan], "infinite": [np.inf, 0.1], "empty": []}
    for name, waveform in samples.items():
        soundfile.write(tmp_path / f"{name}.wav", waveform, 16000, subtype="FLOAT")
    bad = [Utterance(name, tmp_path / f"{name}.wav", "words", duration=1.0) for name in samples]
    good = with_bad_file[:3]
    plan = EpochPlan([*bad, with_bad_file[3], *good], tokenizer, batch_size=2, on_error="skip")
    read = transcripts(dataset_from_plan(plan), tokenizer)
    assert flat(read) == [u.text for u in good]
    assert {utterance.id for utterance, _ in plan.skipped} == {*samples, "bad"}
    assert plan.dropped_batches == {(0, 0), (0, 1)}
    assert len(plan) == 4
    # The first step's batch was the third of the plan.
    assert plan.position_after(steps=1) == (0, 3)
    assert transcripts(dataset_from_plan(plan, start=(0, 3)), tokenizer) == read[1:]


def test_nothing_can_be_read(with_bad_file, tokenizer):
    dataset = make_dataset(with_bad_file[3:], tokenizer, on_error="skip", repeat=True)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"AudioError.*1, all of which.*broken"
    ):
        next(iter(dataset))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size to be positive. Received: batch_size=0"),
        ({"batch_seconds": -1.0}, "Received: batch_seconds=-1.0"),
        ({"num_workers": 0}, "Received: num_workers=0"),
        ({"on_error": "ignore"}, "'raise' or 'skip'. Received: 'ignore'"),
        ({"start": (0, 1)}, r"one of its batches, from 0 to 0. Received: start=\(0, 1\)"),
        ({"start": (-1, 0)}, "Expected start to be an epoch from 0 on"),
        ({"batch_size": 11, "drop_remainder": True}, "full batch with drop_remainder"),
    ],
)
def test_bad_arguments(utterances, tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_dataset(utterances, tokenizer, **arguments)


def test_no_utterances(tokenizer):
    with pytest.raises(ValueError, match=r"at least one utterance\. Received: 0 utterances"):
        make_dataset([], tokenizer)


def test_unknown_characters_are_found_before_training(utterances):
    with pytest.raises(ValueError, match="not in the alphabet"):
        make_dataset(utterances, CharacterTokenizer("abc"))


def batches_of(dataset, count=None):
    """Everything in some batches, as bytes to compare."""
    return [
        [x["audio"].numpy().tobytes(), y["tokens"].numpy().tobytes()]
        for x, y in (dataset if count is None else dataset.take(count))
    ]


@pytest.fixture
def plan(utterances, tokenizer):
    return EpochPlan(utterances, tokenizer, batch_size=3, shuffle=True, seed=5)


@pytest.fixture
def augment():
    return [SpeedPerturbation(), Reverberate(probability=0.5)]


def test_augmentation_follows_from_seed_epoch_and_utterance(utterances, tokenizer, augment):
    def epochs(utterances, seed=0, augment=augment, batch_size=1):
        dataset = make_dataset(utterances, tokenizer, batch_size, seed=seed, augment=augment)
        return [batches_of(dataset) for _ in range(2)]

    first, second = epochs(utterances)
    assert [first, second] == epochs(utterances)
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert epochs(utterances, seed=1)[0] != first
    assert epochs(utterances, augment=())[0] != first
    # Whatever else is in the data set.
    assert epochs(utterances[4:7]) == [first[4:7], second[4:7]]


def test_augmentation_is_applied_in_order_and_checked(utterances, tokenizer):
    seen = []

    def double(waveform, sample_rate, generator):
        seen.append((sample_rate, generator.random()))
        return 2 * waveform

    def first_half(waveform, sample_rate, generator):
        seen.append((sample_rate, generator.random()))
        return waveform[: len(waveform) // 2]

    dataset = make_dataset(
        utterances[:1], tokenizer, augment=[double, first_half], sample_rate=8000
    )
    x, _ = next(iter(dataset))
    whole = load_audio(utterances[0].audio, 8000)
    np.testing.assert_array_equal(x["audio"][0], 2 * whole[: len(whole) // 2])
    assert x["audio_length"].numpy().tolist() == [len(whole) // 2]
    assert [rate for rate, _ in seen] == [8000, 8000]
    assert seen[0][1] != seen[1][1]
    dataset = make_dataset(utterances[:1], tokenizer, augment=[lambda w, *_: w * np.nan])
    with pytest.raises(tf.errors.InvalidArgumentError, match="augment to return finite samples"):
        next(iter(dataset))


def test_going_on_gives_what_the_unbroken_run_had(plan, augment):
    assert len(plan) == 4
    dataset = dataset_from_plan(plan, augment=augment)
    epochs = [batches_of(dataset) for _ in range(3)]
    unbroken = list(itertools.chain(*epochs))
    assert len({tuple(batch) for batch in unbroken}) == 12
    for start in ((0, 0), (1, 0), (0, 3)):
        resumed = dataset_from_plan(plan, augment=augment, start=start)
        passes = [batches_of(resumed) for _ in range(start[0], 3)]
        assert passes == [epochs[start[0]][start[1] :], *epochs[start[0] + 1 :]]
        endless = dataset_from_plan(plan, augment=augment, start=start, repeat=True)
        for _ in range(2):  # Each iterator begins there.
            first = 4 * start[0] + start[1]
            assert batches_of(endless, 5) == unbroken[first : first + 5]


def test_cardinality_of_passes(plan):
    assert dataset_from_plan(plan, start=(3, 0)).cardinality() == 4
    assert dataset_from_plan(plan, start=(3, 1)).cardinality() == tf.data.UNKNOWN_CARDINALITY


def test_the_audio_before_the_start_is_not_read(plan, monkeypatch):
    from keras_contextnet.data import batch_loader

    read = []

    def load(path, sample_rate):
        read.append(path)
        return np.ones(8, "float32")

    monkeypatch.setattr(batch_loader, "load_audio", load)
    list(dataset_from_plan(plan, start=(2, 3)))
    assert read == [utterance.audio for utterance in plan.batches(2)[3]]


class Loudness(keras.Model):
    """The mean of |audio| to the number of tokens."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(keras.ops.mean(keras.ops.abs(x["audio"]), axis=1, keepdims=True))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean((y_pred[:, 0] - keras.ops.cast(y["token_length"], "float32")) ** 2)


def test_keras_trains_on_it(utterances, tokenizer):
    dataset = make_dataset(utterances, tokenizer, batch_size=5, shuffle=True)
    model = Loudness()
    model.compile("sgd")
    history = model.fit(dataset, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    assert model.predict(dataset, verbose=0).shape == (10, 1)


class EndFirstEpoch(keras.callbacks.Callback):
    """Ends the first epoch after so many steps, and the training not with it."""

    def __init__(self, steps):
        super().__init__()
        self.steps_left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if self.steps_left == 0:
            self.model.stop_training = False
            self.steps_left = -1


def test_keras_goes_on_amid_an_epoch(plan):
    """What `fit` takes so that its epochs are those of the data and no step is lost."""
    augment = [RandomGain(decibels=(0, 40))]
    start = (1, 2)
    model = Loudness()
    model.compile(keras.optimizers.SGD(0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Keras warns where data run out.
        history = model.fit(
            dataset_from_plan(plan, augment=augment, start=start, repeat=True),
            steps_per_epoch=len(plan),
            initial_epoch=start[0],
            epochs=4,
            verbose=0,
            shuffle=False,
            callbacks=[EndFirstEpoch(len(plan) - start[1])],
        ).history
    passes = dataset_from_plan(plan, augment=augment, start=start)
    assert history["loss"] == pytest.approx([mean_loss(model, passes) for _ in range(3)], rel=1e-4)


def mean_loss(model, batches):
    scale, offset = (float(np.squeeze(weight)) for weight in model.get_weights())
    errors = [
        (scale * np.abs(audio).mean() + offset - count) ** 2
        for x, y in batches
        for audio, count in zip(x["audio"].numpy(), y["token_length"].numpy(), strict=True)
    ]
    return np.mean(errors)


def test_another_backend_trains_and_imports_are_lazy():
    pytest.importorskip("jax")
    code = (
        "import sys, keras_contextnet.data, keras_contextnet.text\n"
        "heavy = {'soundfile', 'soxr', 'sentencepiece', 'tensorflow_text', 'tensorflow_io'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import pytest\n"
        f"pytest.main(['-p', 'no:cacheprovider', {__file__!r}, '-k', 'test_keras'])"
    )
    env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert "2 passed" in result.stdout, result.stdout + result.stderr
