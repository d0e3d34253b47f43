"""The bundled English vocabulary, its normalisation, and transcripts of written English."""

from __future__ import annotations

import re
import string
import unicodedata
from functools import cache
from pathlib import Path

from keras_contextnet.text.sentencepiece import SentencePieceTokenizer

_TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}
_ROMAN_NUMERAL = re.compile(r"\b[IVXLCDM]{2,}\b")


def english_normalization() -> dict[str, str]:
    """Returns the rules that turn written English into the transcripts' alphabet, `[a-z' ]`.

    Capitals become small letters, accented Latin letters lose their accents, typographic
    apostrophes become `'`, and punctuation becomes a space. Digits and other scripts are left: they
    have no spoken form that a table could give.

    Returns:
        A dictionary from a character to its replacement, for `train_sentencepiece`.
    """
    rules = {letter: letter.lower() for letter in string.ascii_uppercase}
    # Latin-1 Supplement and Latin Extended-A
    for letter in map(chr, range(0xC0, 0x180)):
        plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode().lower()
        if plain.isalpha():
            rules[letter] = plain
    rules |= {"Æ": "ae", "æ": "ae", "Œ": "oe", "œ": "oe", "ß": "ss", "Ø": "o", "ø": "o"}
    rules |= dict.fromkeys("\u2018\u2019\u02bc\u0060\u00b4", "'")
    spaces = (
        string.punctuation + "\u2013\u2014\u2015\u2026\u201c\u201d\u201e\u00ab\u00bb\t\n\r\u00a0"
    )
    return rules | {mark: " " for mark in spaces if mark not in "'`"}


@cache
def _letters() -> dict[int, str]:
    """The rules of `english_normalization` as `str.translate` reads them."""
    return str.maketrans(english_normalization())


def english_transcript(text: str) -> str | None:
    """Returns how a written English sentence is transcribed: the words that are said, in `[a-z' ]`.

    Beyond `english_normalization`, quotation marks that look like apostrophes go, and titles are
    spelt out, as LibriSpeech has them: a recogniser whose synthetic speech comes with "mr" and its
    recordings with "mister" learns both for one sound. "St." is read as "saint", as in most novels.

    Args:
        text: str, such as a sentence of a novel that a synthesiser is to say.

    Returns:
        A str, or None where the text does not say how it is spoken: with digits, Roman numerals or
        letters of other scripts, or without any word.

    Example:

    ```python
    from keras_contextnet.text import english_transcript

    assert english_transcript("'Don't,' said Mr. Ames.") == "don't said mister ames"
    assert english_transcript("In 1850, Henry VIII.") is None
    ```
    """
    if _ROMAN_NUMERAL.search(text):
        return None
    words = [word.strip("'") for word in text.translate(_letters()).split()]
    transcript = " ".join(_TITLES.get(word, word) for word in words if word)
    return transcript if re.fullmatch("[a-z' ]+", transcript) else None


def english_tokenizer() -> SentencePieceTokenizer:
    """Returns the bundled English tokenizer: 1,023 word pieces over `[a-z' ]`.

    With the blank they make the 1,024 outputs of the paper's models. The pieces were trained on
    public-domain books; the folder `assets/english_1023` says how.

    Returns:
        A `SentencePieceTokenizer`.

    Example:

    ```python
    from keras_contextnet.text import english_tokenizer

    tokenizer = english_tokenizer()
    assert tokenizer.decode(tokenizer.encode("it's a test")) == "it's a test"
    ```
    """
    assets = Path(__file__).parent.parent / "assets"
    return SentencePieceTokenizer(assets / "english_1023" / "vocabulary.spm")
