import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_contextnet.data import AudioError, Utterance, load_audio, make_dataset, read_manifest
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
    with pytest.raises(ValueError, match="10 utterances, none of which has at most max_duration=1"):
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


def test_unreadable_files_can_be_skipped(with_bad_file, tokenizer):
    for batch_size in (1, 2):
        dataset = make_dataset(with_bad_file, tokenizer, batch_size=batch_size, on_error="skip")
        with pytest.warns(UserWarning, match=r"Left out bad\. .*broken\.wav"):
            kept = transcripts(dataset, tokenizer)
        assert flat(kept) == [u.text for u in with_bad_file[:3]]
        assert all(kept)
    unknown = [replace(u, duration=None) for u in with_bad_file]
    dataset = make_dataset(unknown, tokenizer, shuffle=True, on_error="skip")
    with pytest.warns(UserWarning, match="Left out bad"):
        assert len(transcripts(dataset, tokenizer)[0]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size to be positive. Received: batch_size=0"),
        ({"batch_seconds": -1.0}, "Received: batch_seconds=-1.0"),
        ({"num_workers": 0}, "Received: num_workers=0"),
        ({"on_error": "ignore"}, "'raise' or 'skip'. Received: 'ignore'"),
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


def test_another_backend_trains_and_imports_are_lazy():
    pytest.importorskip("jax")
    code = (
        "import sys, keras_contextnet.data, keras_contextnet.text\n"
        "heavy = {'soundfile', 'soxr', 'sentencepiece', 'tensorflow_text', 'tensorflow_io'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import pytest\n"
        f"pytest.main(['-p', 'no:cacheprovider', {__file__!r}, '-k', 'keras_trains'])"
    )
    env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr
