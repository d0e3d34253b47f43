"""The interface of every tokenizer: text to token ids and back."""

from __future__ import annotations

import abc
import operator
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


class Tokenizer(abc.ABC):
    """Turns text into token ids and token ids into text.

    A tokenizer has `V = vocabulary_size` pieces with the ids `0 .. V - 1`. A transducer's blank is
    not a piece: a model with this tokenizer has `V + 1` outputs and its blank is the last one, `V`.

    A subclass defines `pieces`, `encode`, `_decode`, `encode_tensor` and `get_config`. One whose
    vocabulary is a file of its own also defines `save_assets` and `load_assets`.
    """

    @property
    @abc.abstractmethod
    def pieces(self) -> list[str]:
        """The text of every piece, in the order of the ids."""

    @property
    def vocabulary_size(self) -> int:
        """The number of pieces, the blank not counted."""
        return len(self.pieces)

    @abc.abstractmethod
    def encode(self, text: str) -> list[int]:
        """Returns the token ids of one text.

        Args:
            text: The text, a `str`.

        Returns:
            A list of ids in `[0, vocabulary_size)`.
        """

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of one sequence of token ids.

        Args:
            ids: Integers in `[0, vocabulary_size)`: a list, an array or an eager tensor `(U,)`.

        Returns:
            The text.

        Raises:
            ValueError: If an id is outside the vocabulary, as the blank and padding are.
        """
        # Arrays of every backend turn into NumPy as a whole much faster than element by element.
        ids = [operator.index(i) for i in (ids.numpy() if hasattr(ids, "numpy") else ids)]
        size = self.vocabulary_size
        for i in ids:
            if not 0 <= i < size:
                raise ValueError(
                    f"Expected token ids in [0, {size}). Received: {i}. The blank "
                    f"(id {size}) and padding are not text: remove them first."
                )
        return self._decode(ids)

    @abc.abstractmethod
    def _decode(self, ids: list[int]) -> str:
        """Returns the text of ids that are known to be in the vocabulary."""

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Returns `encode(text)` of every text."""
        if isinstance(texts, str):
            raise TypeError(f"Expected an iterable of texts. Received: one str, {texts!r}.")
        return [self.encode(text) for text in texts]

    def decode_batch(self, batch: Iterable[Sequence[int]]) -> list[str]:
        """Returns `decode(ids)` of every sequence of ids."""
        return [self.decode(ids) for ids in batch]

    @abc.abstractmethod
    def encode_tensor(self, strings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes texts inside a TensorFlow graph, such as a `tf.data` pipeline.

        Args:
            strings: A string tensor `(batch,)`.

        Returns:
            The tokens `(batch, U)` int32, padded with zeros, and their numbers `(batch,)` int32.
        """

    @abc.abstractmethod
    def get_config(self, with_assets: bool = True) -> dict[str, Any]:
        """Returns the constructor's arguments as JSON-able values.

        Args:
            with_assets: Whether to include the contents of the files that `save_assets` writes.
                Without them the result of `from_config` is complete only after `load_assets`.

        Returns:
            A dictionary that `from_config` accepts.
        """

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tokenizer:
        """Returns the tokenizer that `get_config` described."""
        return cls(**config)

    def save_assets(self, folder: str | os.PathLike[str]) -> None:  # noqa: B027
        """Writes the vocabulary's own files to `folder`, if the tokenizer has any."""

    def load_assets(self, folder: str | os.PathLike[str]) -> None:  # noqa: B027
        """Reads what `save_assets` wrote."""


def require_text(text: object) -> None:
    """Raises a `TypeError` for what is not a `str`."""
    if not isinstance(text, str):
        raise TypeError(
            f"Expected text to be a str. Received: {text!r} (type {type(text).__name__})."
        )


def require_share(name: str, share: float) -> None:
    """Raises a `ValueError` if `share` is not a share, from 0 to 1."""
    if not 0 <= share <= 1:
        raise ValueError(f"Expected {name} to be a share, from 0 to 1. Received: {name}={share!r}.")
