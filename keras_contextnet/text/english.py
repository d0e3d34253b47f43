"""The bundled English vocabulary, and the normalisation it was trained with."""

from __future__ import annotations

import string
import unicodedata
from pathlib import Path

from keras_contextnet.text.sentencepiece import SentencePieceTokenizer


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
