import pytest
import sentencepiece

from keras_contextnet.text import SentencePieceTokenizer, train_sentencepiece

TEXTS = [
    "She sells sea shells by the sea shore",
    "the shells she sells are sea shells I'm sure",
] * 4


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_size_and_round_trip(model_type):
    tokenizer = train_sentencepiece(TEXTS, 20, model_type=model_type)
    assert tokenizer.vocabulary_size == 20
    assert tokenizer.decode(tokenizer.encode("SHE sells sea shells")) == "she sells sea shells"
    # No piece but the unknown one is special: the transducer has a blank of its own.
    reference = sentencepiece.SentencePieceProcessor(model_proto=tokenizer._proto)
    assert reference.unk_id() == 0
    assert [reference.bos_id(), reference.eos_id(), reference.pad_id()] == [-1, -1, -1]


def test_normalization_names_and_rules():
    assert 0 in train_sentencepiece(TEXTS, 20, normalization="identity").encode("THE SEA")
    rules = {"X": "sea", "s": "sh"}
    tokenizer = train_sentencepiece(["sh sea she"] * 3, 8, normalization=rules)
    assert tokenizer.decode(tokenizer.encode("X")) == "sea"


def test_required_characters():
    tokenizer = train_sentencepiece(TEXTS, 20, required_characters="xyz")
    assert {"x", "z"} <= set(tokenizer.pieces)


def test_training_repeats_exactly():
    # Byte for byte: nothing of the temporary folder stays in the model.
    first, second = (train_sentencepiece(TEXTS, 20, normalization={"S": "s"}) for _ in range(2))
    assert first._proto == second._proto


def test_any_iterable_and_lines():
    as_lines = train_sentencepiece((text for text in ["\n".join(TEXTS), ""]), 20)
    assert as_lines.pieces == train_sentencepiece(TEXTS, 20).pieces
    assert isinstance(as_lines, SentencePieceTokenizer)


def test_errors():
    with pytest.raises(ValueError, match="at least one non-empty text"):
        train_sentencepiece(["", "  "], 30)
    with pytest.raises(ValueError, match="could not train 5000 pieces from 8 lines"):
        train_sentencepiece(TEXTS, 5000)
    with pytest.raises(ValueError, match="could not train 3 pieces"):
        train_sentencepiece(TEXTS, 3)
    with pytest.raises(ValueError, match=r"'unigram' or 'bpe'\. Received: 'word'"):
        train_sentencepiece(TEXTS, 20, model_type="word")
    with pytest.raises(TypeError, match="one str"):
        train_sentencepiece(TEXTS[0], 30)
