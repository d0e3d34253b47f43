"""Train a SentencePiece tokenizer from text files or manifests.

python examples/train_tokenizer.py book.txt train.jsonl --output vocabulary.spm

The bundled English vocabulary was made by this script with its default options.
"""

import argparse
import json
import lzma
import os
import re
from collections.abc import Iterator
from pathlib import Path

from keras_contextnet.text import english_normalization, train_sentencepiece

# What volunteers and publishers added to a Project Gutenberg book.
ADDED = re.compile(
    r"project gutenberg|\be-?texts?\b|^produced by\b|^transcribed from|proofread|copyright|=>|"
    r"html version|https?:|www\.|@",
    re.IGNORECASE,
)
# A quotation mark that looks like an apostrophe: one that is not inside a word.
QUOTE = re.compile(r"(?<![A-Za-z])['\u2018\u2019]|['\u2018\u2019](?![A-Za-z])")


def read_texts(path: Path) -> Iterator[str]:
    """Yields the transcripts of a .jsonl manifest or the sentences of a text file (.xz or not)."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        contents = file.read()
    if path.suffix == ".jsonl":
        yield from (json.loads(line)["text"] for line in contents.split("\n") if line.strip())
        return
    # Without blank lines, every line is a text of its own.
    separator = r"\n\s*\n" if re.search(r"\n\s*\n", contents.strip()) else r"\n"
    for paragraph in re.split(separator, contents):
        if paragraph.strip() and not ADDED.search(paragraph.strip()):
            yield from re.split(r"(?<=[.!?;:])\s", paragraph.replace("\n", " "))


def spoken(text: str) -> str:
    """Returns the text without quotation marks and digits, which are not in the alphabet."""
    return re.sub(r"\d+", " ", QUOTE.sub(" ", text))


def main() -> None:
    """Train and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="text files (.txt, .xz) or .jsonl")
    parser.add_argument("--output", type=Path, default=Path("vocabulary.spm"))
    parser.add_argument("--vocabulary-size", type=int, default=1023)
    parser.add_argument("--alphabet", default="abcdefghijklmnopqrstuvwxyz'")
    arguments = parser.parse_args()

    # Sentences with letters beyond the alphabet would spend pieces on them.
    normalization = english_normalization()
    allowed = set(arguments.alphabet) | set(normalization) | {" "}
    texts = [spoken(text) for path in arguments.files for text in read_texts(path)]
    texts = [text for text in texts if set(text) <= allowed]
    print(f"{len(texts)} texts")

    tokenizer = train_sentencepiece(
        texts,
        arguments.vocabulary_size,
        normalization=normalization,
        required_characters=arguments.alphabet,
        num_threads=os.cpu_count() or 1,
    )
    folder = arguments.output.parent
    tokenizer.save_assets(folder)
    os.replace(folder / "vocabulary.spm", arguments.output)
    print(f"{tokenizer.vocabulary_size} pieces written to {arguments.output}")


if __name__ == "__main__":
    main()
