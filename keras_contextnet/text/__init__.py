"""Tokenizers: text to token ids and back."""

from keras_contextnet.text.aggregate import AggregateTokenizer
from keras_contextnet.text.characters import CharacterTokenizer
from keras_contextnet.text.english import (
    english_normalization,
    english_tokenizer,
    english_transcript,
)
from keras_contextnet.text.sentencepiece import SentencePieceTokenizer
from keras_contextnet.text.tokenizer import Tokenizer
from keras_contextnet.text.train_sentencepiece import train_sentencepiece

__all__ = [
    "AggregateTokenizer",
    "CharacterTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "english_normalization",
    "english_tokenizer",
    "english_transcript",
    "train_sentencepiece",
]
