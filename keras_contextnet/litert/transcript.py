"""Tokens to text, and when each word was said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORD_START = "▁"  # SentencePiece's sign for the space before a word
CONTROL = ("<s>", "</s>", "<pad>")  # pieces of SentencePiece that are no text
UNKNOWN, UNKNOWN_TEXT = "<unk>", " ⁇ "
BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # a piece of one byte, for characters without a piece


@dataclass(frozen=True)
class Token:
    """One token of a transcript.

    Attributes:
        id: int. The token id.
        piece: str. What the vocabulary has for it: a word piece, where "▁" marks the start of a
            word, or a character.
        time: float, seconds from the start of the audio. The encoder's frame that emitted it.
    """

    id: int
    piece: str
    time: float


@dataclass(frozen=True)
class Word:
    """One word of a transcript.

    Attributes:
        text: str. The word.
        time: float, seconds from the start of the audio. That of the word's first token.
    """

    text: str
    time: float


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording.

    Attributes:
        text: str.
        tokens: tuple of `Token`.
        words: tuple of `Word`: `text` split at spaces.
    """

    text: str
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]

    def __str__(self) -> str:
        return self.text


def make_transcript(tokens: Iterable[Token], kind: str) -> Transcript:
    """Returns the transcript of tokens.

    Args:
        tokens: the tokens, in order.
        kind: "sentencepiece" or "characters", how pieces become text.

    Returns:
        A `Transcript`, with the text that the exported model's tokenizer gives.
    """
    tokens = tuple(tokens)
    pieces = [token.piece for token in tokens]
    parts = sentencepiece_parts(pieces) if kind == "sentencepiece" else pieces
    return Transcript("".join(parts), tokens, tuple(_words(parts, tokens)))


def sentencepiece_parts(pieces: Sequence[str]) -> list[str]:
    """Returns what each piece adds to the text, which is all parts joined.

    A run of bytes is the part of its last one. Bytes of no character become U+FFFD, one each, as
    SentencePiece has it.
    """
    parts, started, spelt = [], False, b""
    for index, piece in enumerate(pieces):
        byte = BYTE.fullmatch(piece)
        if byte:
            spelt += bytes([int(byte[1], 16)])
            goes_on = index + 1 < len(pieces) and BYTE.fullmatch(pieces[index + 1])
            part, spelt = ("", spelt) if goes_on else (_decode_bytes(spelt), b"")
        elif piece in CONTROL:
            part = ""
        elif piece == UNKNOWN:
            part = UNKNOWN_TEXT
        else:
            # The text's first word has no space before it.
            part = (piece if started else piece.removeprefix(WORD_START)).replace(WORD_START, " ")
        started = started or bool(part)
        parts.append(part)
    return parts


def _decode_bytes(spelt: bytes) -> str:
    text = ""
    while spelt:
        for length in (1, 2, 3, 4):
            try:
                text, spelt = text + spelt[:length].decode("utf-8"), spelt[length:]
                break
            except UnicodeDecodeError:
                continue
        else:
            text, spelt = text + "\ufffd", spelt[1:]
    return text


def _words(parts: Sequence[str], tokens: Sequence[Token]) -> Iterable[Word]:
    word, time = "", 0.0
    for part, token in zip(parts, tokens, strict=True):
        for character in part:
            if character.isspace():
                if word:
                    yield Word(word, time)
                word = ""
            else:
                time = time if word else token.time
                word += character
    if word:
        yield Word(word, time)
