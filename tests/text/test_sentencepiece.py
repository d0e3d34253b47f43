import copy
import json
import pickle
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.text import SentencePieceTokenizer, english_tokenizer

tf = pytest.importorskip("tensorflow")
ROOT = Path(__file__).parents[2]
MODEL = ROOT / "keras_contextnet/assets/english_1023/vocabulary.spm"
TEXTS = [
    json.loads(line)["text"]
    for line in (ROOT / "examples/audio/manifest.jsonl").read_text().splitlines()
]


@pytest.fixture(scope="module")
def tokenizer():
    return english_tokenizer()


def test_ids_are_sentencepieces_own(tokenizer):
    reference = sentencepiece.SentencePieceProcessor(model_file=str(MODEL))
    assert tokenizer.encode_batch(TEXTS) == reference.Encode(TEXTS)
    assert tokenizer.pieces == [reference.IdToPiece(i) for i in range(reference.GetPieceSize())]
    assert tokenizer.vocabulary_size == len(tokenizer.pieces) == 1023


def test_array_and_tensor_ids_decode(tokenizer):
    ids = tokenizer.encode(TEXTS[0])
    assert tokenizer.decode(np.array(ids, "int32")) == TEXTS[0]
    assert tokenizer.decode(tf.constant(ids)) == TEXTS[0]
    assert tokenizer.decode([]) == ""


# Mostly what the vocabulary knows or normalises, and now and then anything at all.
ANY_CHARACTER = st.sampled_from("aAbehst 'é—\u201942日!") | st.characters(
    codec="utf-8", exclude_characters="\0"
)


def assert_encode_tensor_equals_encode(tokenizer, texts):
    tokens, lengths = tokenizer.encode_tensor(tf.constant(texts))
    assert tokens.dtype == lengths.dtype == tf.int32
    for text, row, length in zip(texts, tokens.numpy(), lengths.numpy(), strict=True):
        assert row[:length].tolist() == tokenizer.encode(text)
        assert not row[length:].any()


needs_tensorflow_text = pytest.mark.skipif(
    sys.platform == "win32", reason="tensorflow-text has no wheels for Windows"
)


@needs_tensorflow_text
def test_encode_tensor_on_transcripts(tokenizer):
    assert_encode_tensor_equals_encode(tokenizer, TEXTS)


@needs_tensorflow_text
@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(ANY_CHARACTER, max_size=20), min_size=1, max_size=4))
def test_encode_tensor_on_any_text(texts):
    assert_encode_tensor_equals_encode(english_tokenizer(), texts)


@needs_tensorflow_text
def test_encode_tensor_in_a_pipeline(tokenizer):
    batches = tf.data.Dataset.from_tensor_slices(TEXTS).batch(4).map(tokenizer.encode_tensor)
    ids = [row[:n].tolist() for b, ns in batches for row, n in zip(b.numpy(), ns, strict=True)]
    assert ids == tokenizer.encode_batch(TEXTS)


@needs_tensorflow_text
def test_encode_tensor_survives_a_new_seed(tokenizer):
    texts = tf.constant(TEXTS)
    encode = tf.function(tokenizer.encode_tensor)
    dataset = tf.data.Dataset.from_tensors(texts).repeat(2).map(tokenizer.encode_tensor)
    iterator = iter(dataset)
    expected = encode(texts)[0].numpy()
    np.testing.assert_array_equal(next(iterator)[0], expected)
    keras.utils.set_random_seed(0)  # empties TensorFlow's kernel cache
    tf.random.set_seed(0)  # as Keras does where TensorFlow is the backend
    np.testing.assert_array_equal(next(iterator)[0], expected)
    np.testing.assert_array_equal(next(iter(dataset))[0], expected)
    np.testing.assert_array_equal(encode(texts)[0], expected)
    np.testing.assert_array_equal(tokenizer.encode_tensor(texts)[0], expected)


def test_encode_tensor_without_tensorflow_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ImportError, match='pip install "tensorflow-text"'):
        english_tokenizer().encode_tensor(tf.constant(["a"]))


def test_missing_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path / 'no.spm'}, which is mis")):
        SentencePieceTokenizer(tmp_path / "no.spm")
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path}, which is a folder")):
        SentencePieceTokenizer(tmp_path)


@pytest.mark.parametrize(
    "contents", [b"", b"the\na\nof\n", MODEL.read_bytes()[:5000], b"\x00" * 99]
)
def test_what_is_not_a_model(tmp_path, contents):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=re.escape(f"{path}, which is not one")):
        SentencePieceTokenizer(str(path))
    with pytest.raises(ValueError, match="the bytes given as `model`, which is not one"):
        SentencePieceTokenizer(contents)


@pytest.mark.parametrize("i", [-1, 1023])
def test_decoding_what_is_not_a_piece(tokenizer, i):
    with pytest.raises(ValueError, match=rf"\[0, 1023\). Received: {i}."):
        tokenizer.decode([1, i])


def test_decoding_what_is_not_an_integer(tokenizer):
    with pytest.raises(TypeError):
        tokenizer.decode([1.5])


def through_assets(tokenizer, folder):
    config = json.loads(json.dumps(tokenizer.get_config(with_assets=False)))
    assert len(json.dumps(config)) < 100
    tokenizer.save_assets(folder)
    assert [path.name for path in folder.iterdir()] == ["vocabulary.spm"]
    restored = SentencePieceTokenizer.from_config(config)
    with pytest.raises(ValueError, match="no vocabulary yet"):
        restored.encode("a")
    restored.load_assets(folder)
    return restored


@pytest.mark.parametrize(
    "copied",
    [
        lambda t, _: copy.deepcopy(t),
        lambda t, _: pickle.loads(pickle.dumps(t)),
        lambda t, _: SentencePieceTokenizer.from_config(json.loads(json.dumps(t.get_config()))),
        lambda t, _: keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(t)),
        through_assets,
    ],
)
def test_copies(tmp_path, tokenizer, copied):
    restored = copied(tokenizer, tmp_path / "assets" / "tokenizer")
    assert restored.pieces == tokenizer.pieces
    assert restored.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def test_load_assets_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "vocabulary.spm"))):
        SentencePieceTokenizer().load_assets(tmp_path)


def divisions_by_hand(word):
    """Every way to write a word in pieces, likeliest first, with the sum of the pieces' scores."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(MODEL))
    scores = {model.IdToPiece(i): model.GetScore(i) for i in range(model.GetPieceSize())}

    def divide(rest):
        if not rest:
            yield [], 0.0
        for end in range(1, len(rest) + 1):
            if rest[:end] in scores:
                for pieces, score in divide(rest[end:]):
                    yield [rest[:end], *pieces], scores[rest[:end]] + score

    return sorted(divide("▁" + word), key=lambda division: -division[1])


def test_pieces_are_drawn_by_their_scores(tokenizer):
    generator = np.random.default_rng(0)
    drawn = [tuple(tokenizer.sample("winter", 1.0, generator)) for _ in range(4000)]
    likeliest = divisions_by_hand("winter")[:16]
    expected = np.exp(0.3 * np.array([score for _, score in likeliest]))
    expected /= expected.sum()
    counts = [
        drawn.count(tuple(tokenizer.pieces.index(piece) for piece in pieces))
        for pieces, _ in likeliest
    ]
    assert sum(counts) == len(drawn)
    deviation = np.sqrt(len(drawn) * expected * (1 - expected))
    assert (np.abs(counts - len(drawn) * expected) < 4 * deviation).all()


@settings(deadline=None)
@given(st.text(ANY_CHARACTER, max_size=20), st.floats(0, 1), st.integers(0, 2**32))
def test_drawn_pieces_say_what_the_usual_ones_say(text, share, seed):
    tokenizer = english_tokenizer()
    drawn = tokenizer.sample(text, share, np.random.default_rng(seed))
    assert tokenizer.decode(drawn) == tokenizer.decode(tokenizer.encode(text))
    assert drawn == tokenizer.sample(text, share, np.random.default_rng(seed))


def test_the_share_of_words_whose_pieces_are_drawn(tokenizer):
    generator = np.random.default_rng(0)
    assert tokenizer.sample(TEXTS[0], 0.0, generator) == tokenizer.encode(TEXTS[0])
    usual = tokenizer.encode("winter")
    words = 2000
    for share in (0.1, 0.5):
        ids = [tokenizer.sample("winter", share, generator) for _ in range(words)]
        others = sum(i != usual for i in ids) / words
        always = sum(tokenizer.sample("winter", 1.0, generator) != usual for _ in range(words))
        assert abs(others - share * always / words) < 0.05


@pytest.mark.parametrize("share", [-0.1, 20, float("nan")])
def test_a_share_is_from_0_to_1(tokenizer, share):
    with pytest.raises(ValueError, match=f"Expected share to be .* Received: share={share}"):
        tokenizer.sample(TEXTS[0], share, np.random.default_rng(0))


def test_only_a_unigram_model_draws_pieces(tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(tmp_path / "bpe"),
        vocab_size=60,
        model_type="bpe",
        minloglevel=2,
    )
    bpe = SentencePieceTokenizer(tmp_path / "bpe.model")
    assert bpe.sample(TEXTS[0], 0.0, np.random.default_rng(0)) == bpe.encode(TEXTS[0])
    with pytest.raises(ValueError, match="Expected a unigram model"):
        bpe.sample(TEXTS[0], 1.0, np.random.default_rng(0))
