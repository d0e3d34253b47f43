import copy
import pickle

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.text import CharacterTokenizer

tf = pytest.importorskip("tensorflow")
ALPHABET = " abcdefghijklmnopqrstuvwxyz'"


def test_default_alphabet_is_librispeechs():
    tokenizer = CharacterTokenizer()
    assert tokenizer.pieces == list(ALPHABET)
    assert tokenizer.vocabulary_size == 28
    assert tokenizer.encode(" az'") == [0, 1, 26, 27]


@settings(max_examples=50, deadline=None)
@given(st.text(ALPHABET))
def test_decode_undoes_encode(text):
    tokenizer = CharacterTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text("ñ b日😀", max_size=12), min_size=1, max_size=4))
def test_encode_tensor_equals_encode(texts):
    tokenizer = CharacterTokenizer("日b ñ😀")  # neither sorted nor ASCII
    tokens, lengths = tf.function(tokenizer.encode_tensor)(tf.constant(texts))
    assert tokens.dtype == lengths.dtype == tf.int32
    for text, row, length in zip(texts, tokens.numpy(), lengths.numpy(), strict=True):
        assert row[:length].tolist() == tokenizer.encode(text)
        assert not row[length:].any()


def test_unknown_character_is_named():
    with pytest.raises(ValueError, match=r"Received: 'a 7', where '7' is not in the alphabet"):
        CharacterTokenizer().encode("a 7")


@pytest.mark.parametrize("run", [lambda f: f, tf.function])
def test_unknown_character_is_an_error_in_the_graph(run):
    tokenizer = CharacterTokenizer()
    # Below, between and above the alphabet's code points.
    for text in ("!", "A", "é"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="not in the alphabet"):
            run(tokenizer.encode_tensor)(tf.constant(["ok", text]))


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("", "at least one character"),
        ("abca", r"Received twice or more: \['a'\]"),
        (["a", "bc"], "one character. Received: 'bc'"),
        (["a", ""], "one character. Received: ''"),
        (["a", 1], "one character. Received: 1"),
    ],
)
def test_bad_alphabet(characters, message):
    with pytest.raises(ValueError, match=message):
        CharacterTokenizer(characters)


@pytest.mark.parametrize("i", [-1, 28])
def test_decoding_what_is_not_a_piece(i):
    with pytest.raises(ValueError, match=rf"\[0, 28\). Received: {i}. The blank \(id 28\)"):
        CharacterTokenizer().decode([1, i])


def test_text_must_be_str():
    with pytest.raises(TypeError, match=r"Expected text to be a str\. Received: b'a'"):
        CharacterTokenizer().encode(b"a")
    with pytest.raises(TypeError, match="one str"):
        CharacterTokenizer().encode_batch("abc")


def test_batches():
    tokenizer = CharacterTokenizer("abc")
    assert tokenizer.encode_batch(["ab", "", "c"]) == [[0, 1], [], [2]]
    assert tokenizer.decode_batch([[0, 1], [], [2]]) == ["ab", "", "c"]


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda t: pickle.loads(pickle.dumps(t)),
        lambda t: CharacterTokenizer.from_config(t.get_config()),
        lambda t: CharacterTokenizer.from_config(t.get_config(with_assets=False)),
        lambda t: keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(t)),
    ],
)
def test_copies(copied):
    tokenizer = copied(CharacterTokenizer("cab"))
    assert tokenizer.pieces == ["c", "a", "b"]
    assert tokenizer.encode("abc") == [1, 2, 0]
