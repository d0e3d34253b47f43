"""Training a SentencePiece vocabulary from text."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from keras_contextnet.text.sentencepiece import SentencePieceTokenizer


def train_sentencepiece(
    texts: Iterable[str],
    vocabulary_size: int,
    model_type: str = "unigram",
    normalization: str | Mapping[str, str] = "nmt_nfkc_cf",
    required_characters: str = "",
    num_threads: int = 1,
) -> SentencePieceTokenizer:
    """Trains a SentencePiece model whose only special piece is the unknown one, id 0.

    A transducer has a blank of its own and needs no sentence boundaries, so there is no piece for
    the beginning, the end or padding.

    Args:
        texts: The training texts. Texts of more than 4192 bytes are left out by SentencePiece.
        vocabulary_size: The number of pieces, exactly. The model's output is one larger, the blank.
        model_type: `"unigram"` or `"bpe"`.
        normalization: How the tokenizer normalises text before it splits it: the name of a rule set
            of SentencePiece (`"nmt_nfkc_cf"` folds case, `"identity"` does nothing, ...), or a
            dictionary from strings to their replacements, such as `english_normalization()`.
        required_characters: Characters that become pieces even where `texts` lacks them.
        num_threads: Threads to train with.

    Returns:
        The trained `SentencePieceTokenizer`.

    Raises:
        ValueError: If there is no text, or `vocabulary_size` does not suit it.

    Reference:
        Kudo, 2018, Subword Regularization, https://arxiv.org/abs/1804.10959, section 3.2

    Example:

    ```python
    from keras_contextnet.text import train_sentencepiece

    texts = ["she sells sea shells", "by the sea shore"]
    tokenizer = train_sentencepiece(texts, vocabulary_size=18)
    assert tokenizer.vocabulary_size == 18
    assert tokenizer.decode(tokenizer.encode("Sea shells")) == "sea shells"
    ```
    """
    from sentencepiece import SentencePieceTrainer

    if isinstance(texts, str):
        raise TypeError("Expected `texts` to be an iterable of texts. Received: one str.")
    if model_type not in ("unigram", "bpe"):
        raise ValueError(f"Expected model_type 'unigram' or 'bpe'. Received: {model_type!r}.")
    texts = [line for text in texts for line in text.splitlines() if line.strip()]
    if not texts:
        raise ValueError("Expected at least one non-empty text in `texts`. Received: none.")

    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        try:
            SentencePieceTrainer.Train(
                sentence_iterator=iter(texts),
                model_writer=model,
                vocab_size=vocabulary_size,
                model_type=model_type,
                character_coverage=1.0,
                required_chars=required_characters,
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=num_threads,
                minloglevel=2,
                **_normalization_arguments(normalization, rules),
            )
        except (RuntimeError, OSError) as error:
            raise ValueError(
                f"SentencePiece could not train {vocabulary_size} pieces from {len(texts)} lines. "
                f"Expected a vocabulary_size that the text supports. Received: {error}"
            ) from error
    # The temporary rules file's name is in the model: another name of its length keeps the model
    # valid, and makes two trainings on the same texts give the same bytes.
    name = os.fsencode(rules)
    return SentencePieceTokenizer(model.getvalue().replace(name, b"rules.tsv".ljust(len(name))))


def _normalization_arguments(rules: str | Mapping[str, str], path: Path) -> dict[str, str]:
    if isinstance(rules, str):
        return {"normalization_rule_name": rules}
    # SentencePiece's own format: code points in hexadecimal, source <tab> target.
    lines = ["\t".join(_code_points(side) for side in rule) for rule in rules.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"normalization_rule_tsv": str(path)}


def _code_points(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
