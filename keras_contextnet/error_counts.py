"""Alignment of hypotheses with references: hits, substitutions, deletions and insertions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class UtteranceErrors:
    """How one hypothesis aligns with its reference, in words or in characters."""

    reference: str
    hypothesis: str
    hits: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Words or characters of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors by length; for an empty reference 0 without errors, otherwise infinity."""
        return _rate(self.errors, self.length)


@dataclass(frozen=True)
class ErrorCounts:
    """How all hypotheses align with their references; `utterances` has them one by one."""

    utterances: tuple[UtteranceErrors, ...]

    @property
    def hits(self) -> int:
        """Words or characters that are right."""
        return sum(row.hits for row in self.utterances)

    @property
    def substitutions(self) -> int:
        """Words or characters that are others than in the reference."""
        return sum(row.substitutions for row in self.utterances)

    @property
    def deletions(self) -> int:
        """Words or characters of the reference that are missing."""
        return sum(row.deletions for row in self.utterances)

    @property
    def insertions(self) -> int:
        """Words or characters that the reference does not have."""
        return sum(row.insertions for row in self.utterances)

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return sum(row.errors for row in self.utterances)

    @property
    def length(self) -> int:
        """Words or characters of all references."""
        return sum(row.length for row in self.utterances)

    @property
    def rate(self) -> float:
        """Errors by length; without any reference word 0 if there are no errors, or infinity."""
        return _rate(self.errors, self.length)


def _rate(errors: int, length: int) -> float:
    if length == 0:
        return float("inf") if errors else 0.0
    return errors / length


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """Aligns hypotheses with references by words and counts the errors.

    Words are what whitespace separates; case and punctuation count as they are.

    Args:
        references: Strings, what was said. Where one is empty, every word of its hypothesis is an
            insertion.
        hypotheses: Strings, as many, what was recognised.

    Returns:
        `ErrorCounts`: hits, substitutions, deletions, insertions and `rate`, in all and for each
        utterance.

    Raises:
        ValueError: If the two are not equally many.

    Example:

    ```python
    from keras_contextnet.error_counts import word_errors

    counts = word_errors(["the cat sat"], ["the hat sat down"])
    assert (counts.substitutions, counts.insertions, counts.rate) == (1, 1, 2 / 3)
    ```
    """
    from jiwer import process_words

    return _align(process_words, str.split, references, hypotheses)


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorCounts:
    """Aligns hypotheses with references by characters and counts the errors.

    A run of whitespace is one character, and none at either end of a text.

    Args:
        references: Strings, what was said.
        hypotheses: Strings, as many, what was recognised.

    Returns:
        `ErrorCounts`, as from `word_errors`.

    Raises:
        ValueError: If the two are not equally many.

    Example:

    ```python
    from keras_contextnet.error_counts import character_errors

    assert character_errors(["the cat"], ["the  hat"]).rate == 1 / 7
    ```
    """
    from jiwer import process_characters

    return _align(process_characters, list, references, hypotheses)


def _align(
    process: Callable[..., Any],
    units: Callable[[str], list[str]],
    references: Sequence[str],
    hypotheses: Sequence[str],
) -> ErrorCounts:
    """One row for each utterance, aligned by one of jiwer's functions."""
    if len(references) != len(hypotheses):
        raise ValueError(
            "`references` and `hypotheses` have to be equally many. "
            f"Received: {len(references)} references, {len(hypotheses)} hypotheses"
        )
    pairs = [
        (" ".join(reference.split()), " ".join(hypothesis.split()))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    # Several versions of jiwer refuse a reference without words.
    spoken = [pair for pair in pairs if pair[0]]
    alignments = iter(())
    if spoken:
        alignments = iter(process([r for r, _ in spoken], [h for _, h in spoken]).alignments)

    rows = []
    for reference, hypothesis in pairs:
        counts = {"equal": 0, "substitute": 0, "delete": 0, "insert": 0}
        if reference:
            for chunk in next(alignments):
                of_reference = chunk.ref_end_idx - chunk.ref_start_idx
                of_hypothesis = chunk.hyp_end_idx - chunk.hyp_start_idx
                counts[chunk.type] += max(of_reference, of_hypothesis)
        else:
            counts["insert"] = len(units(hypothesis))
        rows.append(UtteranceErrors(reference, hypothesis, *counts.values()))
    return ErrorCounts(tuple(rows))
