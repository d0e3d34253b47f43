"""SentencePiece word pieces: eager by sentencepiece, in the graph by tensorflow-text."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_contextnet.atomic_write import new_file
from keras_contextnet.text.tokenizer import Tokenizer, require_share, require_text

if TYPE_CHECKING:
    import sentencepiece
    import tensorflow as tf

ASSET = "vocabulary.spm"
WORD_START = "▁"  # the sign for the space before a word
# How many divisions of a word are drawn from, and how far their probabilities are levelled.
_DIVISIONS = 16
_SMOOTHING = 0.3


@keras.saving.register_keras_serializable(package="keras_contextnet")
class SentencePieceTokenizer(Tokenizer):
    """Tokenizes text into the pieces of a SentencePiece model, with the model's own ids.

    The model also normalises the text (upper to lower case, for instance) as it was trained to.
    Characters it does not know become its unknown piece, which decodes to `" ⁇ "`.

    Args:
        model: Path of a SentencePiece model (`.spm`, `.model`), or its contents as `bytes`. `None`
            leaves the tokenizer without a vocabulary until `load_assets`.

    Raises:
        FileNotFoundError: If there is no file at `model`.
        ValueError: If `model` is not a SentencePiece model.

    Reference:
        Kudo and Richardson, 2018, SentencePiece, https://arxiv.org/abs/1808.06226

    Example:

    ```python
    from keras_contextnet.text import english_tokenizer

    tokenizer = english_tokenizer()  # a SentencePieceTokenizer
    ids = tokenizer.encode("Hello, world!")
    assert tokenizer.decode(ids) == "hello world"
    assert tokenizer.vocabulary_size == 1023
    ```
    """

    def __init__(self, model: str | os.PathLike[str] | bytes | None = None) -> None:
        self._proto: bytes | None = None
        self._processor: sentencepiece.SentencePieceProcessor | None = None
        if isinstance(model, bytes):
            self._set_proto(model, "the bytes given as `model`")
        elif model is not None:
            self._set_proto(_read_model(Path(model)), str(model))

    def _set_proto(self, proto: bytes, source: str) -> None:
        from sentencepiece import SentencePieceProcessor

        processor = SentencePieceProcessor()
        try:
            # An empty proto parses, and only fails later.
            loaded = bool(proto) and processor.LoadFromSerializedProto(proto)
        except (RuntimeError, OSError):
            loaded = False
        if not loaded or processor.GetPieceSize() == 0:
            raise ValueError(
                "Expected `model` to be a SentencePiece model, as train_sentencepiece or "
                f"spm_train write. Received: {source}, which is not one."
            )
        self._proto, self._processor = proto, processor

    @property
    def _loaded(self) -> sentencepiece.SentencePieceProcessor:
        if self._processor is None:
            raise ValueError(
                "This SentencePieceTokenizer has no vocabulary yet. Give it a model, or call "
                "load_assets(folder)."
            )
        return self._processor

    @property
    def pieces(self) -> list[str]:
        """The pieces as SentencePiece writes them: `▁` stands for a space."""
        return self._loaded.IdToPiece(list(range(self.vocabulary_size)))

    @property
    def vocabulary_size(self) -> int:
        """The number of pieces, the blank not counted."""
        return self._loaded.GetPieceSize()

    def encode(self, text: str) -> list[int]:
        """Returns the ids of the pieces of `text`.

        Args:
            text: The text, a `str`.

        Returns:
            A list of ids in `[0, vocabulary_size)`.
        """
        require_text(text)
        return self._loaded.EncodeAsIds(text)

    def sample(self, text: str, share: float, generator: np.random.Generator) -> list[int]:
        """Returns ids of pieces of `text`, those of some words drawn at random.

        A model that hears few transcripts many times learns them by heart; other pieces of the same
        words are other transcripts. A word's pieces are drawn among its 16 likeliest divisions,
        with their probabilities to the power of 0.3.

        Args:
            text: The text, a `str`.
            share: The share of words whose pieces are drawn, 0 to 1. The others have those of
                `encode`.
            generator: A `numpy.random.Generator`.

        Returns:
            A list of ids in `[0, vocabulary_size)`, which decodes to what `encode(text)` does.

        Raises:
            ValueError: If `share` is not from 0 to 1, or the SentencePiece model is not a unigram
                model, which alone has probabilities of pieces.

        Source: Kudo, 2018, Subword Regularization, https://arxiv.org/abs/1804.10959, section 3.3

        Example:

        ```python
        import numpy as np
        from keras_contextnet.text import english_tokenizer

        tokenizer = english_tokenizer()
        ids = tokenizer.sample("a gentle wind", 1.0, np.random.default_rng(0))
        print([tokenizer.pieces[i] for i in ids])
        assert tokenizer.decode(ids) == "a gentle wind"
        ```
        """
        require_share("share", share)
        ids: list[int] = []
        for word in self._words(self.encode(text)):
            ids += self._divide(word, generator) if generator.random() < share else word
        return ids

    def _words(self, ids: list[int]) -> list[list[int]]:
        words: list[list[int]] = []
        for i, piece in zip(ids, self._loaded.IdToPiece(ids), strict=True):
            if not words or piece.startswith(WORD_START):
                words.append([])
            words[-1].append(i)
        return words

    def _divide(self, word: list[int], generator: np.random.Generator) -> list[int]:
        spelling = "".join(self._loaded.IdToPiece(word))
        try:
            divisions = self._loaded.NBestEncodeAsIds(self._loaded.DecodeIds(word), _DIVISIONS)
        except RuntimeError as error:
            raise ValueError(
                "Expected a unigram model, such as train_sentencepiece makes, to draw the pieces "
                "of words. Received: a SentencePiece model of another type. Leave the share of "
                "drawn words at 0 with it."
            ) from error
        # What the word is alone may differ from what it is in the text, by a space or a character
        # that the model does not know.
        divisions = [d for d in divisions if "".join(self._loaded.IdToPiece(d)) == spelling]
        if not divisions:
            return word
        logits = np.array([_SMOOTHING * sum(self._loaded.GetScore(d)) for d in divisions])
        probabilities = np.exp(logits - logits.max())
        return divisions[generator.choice(len(divisions), p=probabilities / probabilities.sum())]

    def _decode(self, ids: list[int]) -> str:
        return self._loaded.DecodeIds(ids)

    def encode_tensor(self, strings: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Encodes texts inside a TensorFlow graph; see `Tokenizer.encode_tensor`.

        The ids are those of `encode`.

        Raises:
            ImportError: If tensorflow-text is not installed (it has no wheels for Windows).
        """
        import tensorflow as tf

        # Made anew in every graph, not kept: TensorFlow's kernel cache owns an eager one, and
        # tf.random.set_seed empties that cache.
        tokenizer = _tensorflow_text().SentencepieceTokenizer(
            model=self._loaded.serialized_model_proto()
        )
        tokens = tokenizer.tokenize(strings)  # (batch, ragged U)
        return tokens.to_tensor(0), tf.cast(tokens.row_lengths(), tf.int32)

    def get_config(self, with_assets: bool = True) -> dict[str, Any]:
        """Returns `{"proto": ...}`: the model in base64, or `None` where it is kept as an asset."""
        keep = with_assets and self._proto is not None
        return {"proto": base64.b64encode(self._proto).decode("ascii") if keep else None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SentencePieceTokenizer:
        """Returns the tokenizer that `get_config` described."""
        proto = config["proto"]
        return cls(None if proto is None else base64.b64decode(proto))

    def save_assets(self, folder: str | os.PathLike[str]) -> None:
        """Writes the model to `vocabulary.spm` in `folder`, which is made if need be."""
        proto = self._loaded.serialized_model_proto()
        with new_file(Path(folder) / ASSET) as new:
            new.write_bytes(proto)

    def load_assets(self, folder: str | os.PathLike[str]) -> None:
        """Reads the model that `save_assets` wrote to `folder`."""
        path = Path(folder) / ASSET
        self._set_proto(_read_model(path), str(path))

    def __getstate__(self) -> dict[str, Any]:
        return {"proto": self._proto}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["proto"])


def _read_model(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a SentencePiece model file. Received: {path}, which is "
            f"{'a folder' if path.is_dir() else 'missing'}."
        )
    return path.read_bytes()


def _tensorflow_text() -> Any:
    try:
        import tensorflow_text
    except ImportError as error:
        raise ImportError(
            "SentencePieceTokenizer.encode_tensor needs tensorflow-text of the installed "
            'TensorFlow\'s version: pip install "tensorflow-text" (there is none for Windows). '
            "encode(text), outside of the graph, gives the same ids without it."
        ) from error
    return tensorflow_text
