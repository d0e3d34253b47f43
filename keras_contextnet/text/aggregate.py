"""Several tokenizers, one a language, whose ids are laid end to end."""

from __future__ import annotations

import bisect
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_contextnet.text.sentencepiece import WORD_START
from keras_contextnet.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tensorflow as tf

# A language names a folder, so it must do so everywhere: Windows keeps some names for devices.
LANGUAGE = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)$)[a-z0-9][a-z0-9_-]*", re.I | re.A)


@keras.saving.register_keras_serializable(package="keras_contextnet")
class AggregateTokenizer(Tokenizer):
    """Tokenizes each language with a tokenizer of its own, for a model of several languages.

    The ids of the second language begin after those of the first, and so on, so that no two
    languages share an id. `encode` needs to know the language of a text; `decode` sees it from the
    ids, which may change language within a text. NVIDIA NeMo numbers the pieces of its multilingual
    models in the same way (`tokenizer.type: agg`).

    Args:
        tokenizers: The tokenizer of each language, in the order of the ids. A language is a name of
            ASCII letters, digits, `-` and `_`, such as `"en"` or `"pt-BR"`; `save_assets` names a
            folder by it.
        language: The language that `encode`, `encode_batch` and `encode_tensor` use when none is
            said. Defaults to the first.

    Raises:
        TypeError: If `tokenizers` is not a mapping to tokenizers.
        ValueError: If `tokenizers` is empty, has an `AggregateTokenizer` in it or a language whose
            name does not do, or if `language` is not one of its languages.

    Example:

    ```python
    from keras_contextnet.text import AggregateTokenizer, CharacterTokenizer

    tokenizer = AggregateTokenizer(
        {"en": CharacterTokenizer(" abcdefghijklmnopqrstuvwxyz'"), "ru": CharacterTokenizer(" адн")}
    )
    assert tokenizer.vocabulary_size == 28 + 4
    assert tokenizer.encode("and") == [1, 14, 4]
    assert tokenizer.encode("да", language="ru") == [30, 29]
    assert tokenizer.decode([30, 29, 0, 1, 14, 4]) == "да and"

    russian = tokenizer.with_language("ru")  # the same ids, another default
    assert russian.encode("да") == [30, 29]
    ```
    """

    def __init__(self, tokenizers: Mapping[str, Tokenizer], language: str | None = None) -> None:
        _check_tokenizers(tokenizers)
        self._tokenizers = dict(tokenizers)
        if language is None:
            language = next(iter(self._tokenizers))
        self._check_language(language)
        self._language = language

    @property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """The tokenizer of each language, in the order of the ids."""
        return dict(self._tokenizers)

    @property
    def language(self) -> str:
        """The language of texts whose language is not said."""
        return self._language

    def with_language(self, language: str) -> AggregateTokenizer:
        """Returns this tokenizer, the same ids, with another language for texts that say none.

        Args:
            language: One of the languages.

        Returns:
            An `AggregateTokenizer` of the same tokenizers.

        Raises:
            ValueError: If there is no such language.
        """
        return AggregateTokenizer(self._tokenizers, language)

    @property
    def pieces(self) -> list[str]:
        """The pieces of all languages, in the order of the ids. Languages may share pieces."""
        return [piece for tokenizer in self._tokenizers.values() for piece in tokenizer.pieces]

    @property
    def vocabulary_size(self) -> int:
        """The number of pieces of all languages, the blank not counted."""
        return sum(tokenizer.vocabulary_size for tokenizer in self._tokenizers.values())

    def _first_ids(self) -> dict[str, int]:
        # Not kept: before load_assets, the tokenizers need not have a vocabulary.
        sizes = (tokenizer.vocabulary_size for tokenizer in self._tokenizers.values())
        return dict(zip(self._tokenizers, itertools.accumulate(sizes, initial=0), strict=False))

    def encode(self, text: str, language: str | None = None) -> list[int]:
        """Returns the ids of the pieces of `text`.

        Args:
            text: The text, a `str`.
            language: The language of the text. Defaults to the tokenizer's `language`.

        Returns:
            A list of ids in `[0, vocabulary_size)`.

        Raises:
            ValueError: If there is no such language.
        """
        language = self._or_default(language)
        first = self._first_ids()[language]
        return [first + i for i in self._tokenizers[language].encode(text)]

    def encode_batch(self, texts: Iterable[str], language: str | None = None) -> list[list[int]]:
        """Returns `encode(text, language)` of every text."""
        language = self._or_default(language)
        first = self._first_ids()[language]
        batch = self._tokenizers[language].encode_batch(texts)
        return [[first + i for i in ids] for ids in batch]

    def _decode(self, ids: list[int]) -> str:
        tokenizers, first_ids = list(self._tokenizers.values()), list(self._first_ids().values())
        places = [bisect.bisect_right(first_ids, i) - 1 for i in ids]  # of each id's tokenizer
        pieces = self.pieces if len(set(places)) > 1 else []
        text = ""
        for place, run in itertools.groupby(zip(places, ids, strict=True), lambda pair: pair[0]):
            run = [i for _, i in run]
            # A tokenizer leaves out the space before its first word: it sees no text before it.
            if text and pieces[run[0]].startswith(WORD_START):
                text += " "
            text += tokenizers[place]._decode([i - first_ids[place] for i in run])
        return text

    def encode_tensor(
        self, strings: tf.Tensor, language: str | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes texts inside a TensorFlow graph; see `Tokenizer.encode_tensor`.

        Args:
            strings: A string tensor `(batch,)`, all of one language.
            language: The language of the texts. Defaults to the tokenizer's `language`.

        Returns:
            The tokens `(batch, U)` int32, padded with zeros, and their numbers `(batch,)` int32.

        Raises:
            ValueError: If there is no such language.
        """
        import tensorflow as tf

        language = self._or_default(language)
        tokens, lengths = self._tokenizers[language].encode_tensor(strings)
        present = tf.sequence_mask(lengths, tf.shape(tokens)[1])  # (batch, U)
        return tf.where(present, tokens + self._first_ids()[language], 0), lengths

    def get_config(self, with_assets: bool = True) -> dict[str, Any]:
        """Returns `{"tokenizers": ..., "language": ...}`, the tokenizers serialised by Keras.

        They are a list of pairs, since the order of the languages decides the ids and not every
        JSON writer keeps the order of a dictionary.
        """
        return {
            "tokenizers": [
                [language, _serialize(tokenizer, with_assets)]
                for language, tokenizer in self._tokenizers.items()
            ],
            "language": self._language,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AggregateTokenizer:
        """Returns the tokenizer that `get_config` described."""
        deserialize = keras.saving.deserialize_keras_object
        tokenizers = {language: deserialize(inner) for language, inner in config["tokenizers"]}
        return cls(tokenizers, config["language"])

    def save_assets(self, folder: str | os.PathLike[str]) -> None:
        """Writes the files of each language's tokenizer to a folder of its own in `folder`."""
        for language, tokenizer in self._tokenizers.items():
            tokenizer.save_assets(Path(folder) / language)

    def load_assets(self, folder: str | os.PathLike[str]) -> None:
        """Reads what `save_assets` wrote to `folder`."""
        for language, tokenizer in self._tokenizers.items():
            tokenizer.load_assets(Path(folder) / language)

    def _or_default(self, language: str | None) -> str:
        if language is None:
            return self._language
        self._check_language(language)
        return language

    def _check_language(self, language: str) -> None:
        if language not in self._tokenizers:
            raise ValueError(
                f"Expected `language` to be one of {list(self._tokenizers)}. "
                f"Received: {language!r}."
            )


def _check_tokenizers(tokenizers: Mapping[str, Tokenizer]) -> None:
    if not isinstance(tokenizers, Mapping):
        raise TypeError(
            "Expected `tokenizers` to be a mapping from languages to tokenizers. "
            f"Received: {tokenizers!r} (type {type(tokenizers).__name__})."
        )
    if not tokenizers:
        raise ValueError("Expected at least one language in `tokenizers`. Received: none.")
    for language, tokenizer in tokenizers.items():
        if not isinstance(language, str) or not LANGUAGE.fullmatch(language):
            raise ValueError(
                "Expected every language in `tokenizers` to be a name of ASCII letters, digits, "
                "'-' and '_' that can name a folder, such as 'en' or 'pt-BR'. "
                f"Received: {language!r}."
            )
        if isinstance(tokenizer, AggregateTokenizer):
            raise ValueError(
                "Expected every entry of `tokenizers` to tokenize one language. Received: an "
                f"AggregateTokenizer for {language!r}. Give the ones in its `tokenizers` instead."
            )
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(
                "Expected every entry of `tokenizers` to be a keras_contextnet.text.Tokenizer. "
                f"Received: {tokenizer!r} (type {type(tokenizer).__name__}) for {language!r}."
            )
    if len({language.lower() for language in tokenizers}) < len(tokenizers):
        raise ValueError(
            "Expected languages in `tokenizers` that differ in more than upper and lower case, "
            f"which some file systems do not tell apart. Received: {list(tokenizers)}."
        )


def _serialize(tokenizer: Tokenizer, with_assets: bool) -> dict[str, Any]:
    config = keras.saving.serialize_keras_object(tokenizer)
    config["config"] = tokenizer.get_config(with_assets=with_assets)
    return config
