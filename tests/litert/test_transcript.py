import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_contextnet as kc
from keras_contextnet.litert.transcript import Token, make_transcript


def byte_fallback_tokenizer():
    """Few pieces, the 256 bytes among them."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat sat on the mat", "a cat and a hat"] * 20),
        model_writer=model,
        vocab_size=290,
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return kc.text.SentencePieceTokenizer(model.getvalue())


ENGLISH, BYTES = kc.text.english_tokenizer(), byte_fallback_tokenizer()
CHARACTERS = kc.text.CharacterTokenizer(" abc▁é")
TOKENIZERS = {
    "english": (ENGLISH, "sentencepiece"),
    "bytes": (BYTES, "sentencepiece"),
    "characters": (CHARACTERS, "characters"),
    "aggregate_of_characters": (
        kc.text.AggregateTokenizer(
            {"en": kc.text.CharacterTokenizer(), "de": kc.text.CharacterTokenizer("äöü ")}
        ),
        "characters",
    ),
    "aggregate": (kc.text.AggregateTokenizer({"en": ENGLISH, "xx": BYTES}), "sentencepiece"),
}


def transcript_of(tokenizer, kind, ids):
    pieces = tokenizer.pieces
    return make_transcript((Token(i, pieces[i], 0.5 * n) for n, i in enumerate(ids)), kind)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(data=st.data())
def test_text_is_that_of_the_tokenizer(name, data):
    tokenizer, kind = TOKENIZERS[name]
    pieces = tokenizer.pieces
    ids = range(len(pieces))
    if name == "aggregate":
        # Where the language changes: a second space, or bytes of one character, are as written.
        ids = [i for i in ids if pieces[i] != "▁" and not pieces[i].startswith("<")]
    # Bytes are many and spaces few: some of each kind.
    special = [i for i in ids if pieces[i] in ("▁", " ", "<unk>", "<s>", "<0xC3>", "<0xA9>")]
    choice = st.sampled_from(ids) | st.sampled_from(special or ids)
    ids = data.draw(st.lists(choice, max_size=12))
    transcript = transcript_of(tokenizer, kind, ids)
    assert transcript.text == str(transcript) == tokenizer.decode(ids)
    assert [token.id for token in transcript.tokens] == ids
    assert [word.text for word in transcript.words] == transcript.text.split()


@given(text=st.text(alphabet="ac ehté中😀", max_size=20))
def test_text_in_bytes_comes_back(text):
    text = " ".join(text.split())
    assert transcript_of(BYTES, "sentencepiece", BYTES.encode(text)).text == text


def test_a_word_has_the_time_of_its_first_token():
    pieces = ["▁", "hel", "lo", "▁wor", "ld", "▁", "▁", "a"]
    transcript = make_transcript(
        (Token(0, piece, float(time)) for time, piece in enumerate(pieces)), "sentencepiece"
    )
    assert transcript.text == "hello world  a"
    assert [(w.text, w.time) for w in transcript.words] == [("hello", 1), ("world", 3), ("a", 7)]


def test_no_tokens():
    transcript = make_transcript([], "sentencepiece")
    assert (transcript.text, transcript.tokens, transcript.words) == ("", (), ())
