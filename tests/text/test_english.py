import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.text import english_normalization, english_tokenizer, english_transcript

MANIFEST = Path(__file__).parents[2] / "examples/audio/manifest.jsonl"
LETTERS = "abcdefghijklmnopqrstuvwxyz'"


@pytest.fixture(scope="module")
def tokenizer():
    return english_tokenizer()


def test_the_presets_vocabulary(tokenizer):
    assert tokenizer.vocabulary_size == 1023
    assert tokenizer.pieces[0] == "<unk>"
    assert not {"<s>", "</s>", "<pad>"} & set(tokenizer.pieces)
    assert set("".join(tokenizer.pieces[1:])) == set(LETTERS + "▁")
    assert set(LETTERS + "▁") <= set(tokenizer.pieces)


def test_transcripts_survive(tokenizer):
    texts = [json.loads(line)["text"] for line in MANIFEST.read_text().splitlines()]
    assert len(texts) == 10
    for text in texts:
        ids = tokenizer.encode(text)
        assert 0 not in ids
        assert tokenizer.decode(ids) == text
        assert len(ids) < 2.2 * len(text.split())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(LETTERS, min_size=1, max_size=12), max_size=8))
def test_any_text_of_the_alphabet_survives(words):
    tokenizer = english_tokenizer()
    text = " ".join(words)
    ids = tokenizer.encode(text)
    assert 0 not in ids
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello, World!", "hello world"),
        (
            "It\u2019s  Zo\u00eb \u2014 \u201c\u00c6sop\u201d,\n2 caf\u00e9s",
            "it's zoe aesop \u2047 cafes",
        ),
        ("well-known (a_b)\t", "well known a b"),
        ("  ", ""),
    ],
)
def test_written_english_is_normalised(tokenizer, written, spoken):
    assert " ".join(tokenizer.decode(tokenizer.encode(written)).split()) == spoken


def test_normalization_rules_give_the_alphabet():
    rules = english_normalization()
    assert set("".join(rules.values())) <= set(LETTERS + " ")
    assert not set(rules) & set(LETTERS + " ")
    assert all(len(source) == 1 for source in rules)


@pytest.mark.parametrize(
    ("written", "transcript"),
    [
        ("\u201cDon\u2019t,\u201d said Mr. \u2018Ames\u2019.", "don't said mister ames"),
        ("Mrs. Hale\u2014and Dr. St. John!", "missus hale and doctor saint john"),
        ("I saw Zo\u00eb\u2019s civil, mild vix.", "i saw zoe's civil mild vix"),
        ("In 1850.", None),
        ("Chapter XIV", None),
        ("\u0394 is a letter", None),
        ("\u2018\u2026\u2019", None),
        ("", None),
    ],
)
def test_transcripts_have_the_words_that_are_said(written, transcript):
    assert english_transcript(written) == transcript


@given(st.text(max_size=80))
def test_transcripts_are_of_the_alphabet_and_their_own_transcripts(written):
    transcript = english_transcript(written)
    assert transcript is None or set(transcript) <= set(LETTERS + " ")
    assert transcript is None or english_transcript(transcript) == transcript
