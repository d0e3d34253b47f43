"""A tokenizer whose pieces are single characters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras

from keras_contextnet.text.tokenizer import Tokenizer, require_text

if TYPE_CHECKING:
    import tensorflow as tf

ENGLISH_CHARACTERS = " abcdefghijklmnopqrstuvwxyz'"


@keras.saving.register_keras_serializable(package="keras_contextnet")
class CharacterTokenizer(Tokenizer):
    """Tokenizes text into Unicode characters, one id each, in the order given.

    There is no piece for unknown characters: text with one outside `characters` is an error,
    because a recogniser trained on a silently shortened transcript learns to leave words out.

    Args:
        characters: The alphabet, a `str` or a sequence of one-character strings. Defaults to the
            space, `a` to `z` and the apostrophe, LibriSpeech's alphabet.

    Raises:
        ValueError: If `characters` is empty, has a character twice or an entry of another length.

    Example:

    ```python
    from keras_contextnet.text import CharacterTokenizer

    tokenizer = CharacterTokenizer()
    ids = tokenizer.encode("it's")
    assert ids == [9, 20, 27, 19]
    assert tokenizer.decode(ids) == "it's"
    ```
    """

    def __init__(self, characters: str | Sequence[str] = ENGLISH_CHARACTERS) -> None:
        characters = list(characters)
        if not characters:
            raise ValueError("Expected at least one character in `characters`. Received: none.")
        for character in characters:
            if not isinstance(character, str) or len(character) != 1:
                raise ValueError(
                    "Expected every entry of `characters` to be a string of one character. "
                    f"Received: {character!r}."
                )
        repeated = sorted({c for c in characters if characters.count(c) > 1})
        if repeated:
            raise ValueError(
                f"Expected every character in `characters` once. "
                f"Received twice or more: {repeated}."
            )
        self._characters = characters

    @property
    def pieces(self) -> list[str]:
        """The characters, in the order of the ids."""
        return list(self._characters)

    @property
    def vocabulary_size(self) -> int:
        """The number of characters."""
        return len(self._characters)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self._characters)}

    def encode(self, text: str) -> list[int]:
        """Returns the ids of the characters of `text`.

        Args:
            text: The text, made of `characters` alone.

        Returns:
            A list of ids, one per character.

        Raises:
            ValueError: If a character of `text` is not in the alphabet.
        """
        require_text(text)
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            raise ValueError(
                f"Expected text made of {''.join(self._characters)!r}. Received: {text!r}, where "
                f"{error.args[0]!r} is not in the alphabet. Normalise the text, or add it."
            ) from None

    def _decode(self, ids: list[int]) -> str:
        return "".join(self._characters[i] for i in ids)

    def encode_tensor(self, strings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes texts inside a TensorFlow graph; see `Tokenizer.encode_tensor`.

        A character outside the alphabet is a `tf.errors.InvalidArgumentError`.
        """
        import tensorflow as tf

        # (alphabet,) sorted, so that a binary search finds a code point's place
        codes, ids = zip(*sorted((ord(c), i) for i, c in enumerate(self._characters)), strict=True)
        codes, ids = tf.constant(codes), tf.constant(ids)

        text = tf.strings.unicode_decode(strings, "UTF-8")  # (batch, ragged U)
        found = tf.searchsorted(codes, text.flat_values)  # (characters of all texts,)
        found = tf.minimum(found, len(self._characters) - 1)
        known = tf.debugging.assert_equal(
            tf.gather(codes, found),
            text.flat_values,
            message=f"Expected text made of {''.join(self._characters)!r}. "
            "Received a character that is not in the alphabet (its code point is in y).",
        )
        # Eager mode raises at once and returns None instead of an operation.
        with tf.control_dependencies([known] if known is not None else []):
            tokens = text.with_flat_values(tf.gather(ids, found))  # (batch, ragged U)
        return tokens.to_tensor(0), tf.cast(tokens.row_lengths(), tf.int32)

    def get_config(self, with_assets: bool = True) -> dict[str, Any]:
        """Returns `{"characters": ...}`; the tokenizer has no assets."""
        return {"characters": "".join(self._characters)}
