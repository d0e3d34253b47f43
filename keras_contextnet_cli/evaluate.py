"""keras-contextnet evaluate: error rates on transcribed speech."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_contextnet_cli.recognise import is_litert, recognise
from keras_contextnet_cli.session import BeamWidth, Recogniser, read_utterances, report, session

if TYPE_CHECKING:
    from keras_contextnet.data import Utterance
    from keras_contextnet.error_counts import ErrorCounts

DELIMITERS = {".csv": ",", ".tsv": "\t"}
COUNTS = ("substitutions", "deletions", "insertions")


def _check_table(path: Path | None) -> Path | None:
    if path is not None and path.suffix not in DELIMITERS:
        raise typer.BadParameter(f"expected a name that ends in .csv or .tsv. Received: {path}")
    return path


def evaluate(
    model: Recogniser,
    manifest: Annotated[
        Path,
        typer.Argument(
            exists=True,
            metavar="MANIFEST",
            help="A manifest of JSON lines (path, text), NeMo's too, or a LibriSpeech folder.",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(help="Only this split of the manifest, such as dev.", show_default="all"),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            callback=_check_table,
            help="Write a .csv or .tsv file with a row for each utterance: its errors, what was "
            "said, and what was recognised; the worst first.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Recordings transcribed at once; more need more memory.")
    ] = 8,
    beam_width: BeamWidth = None,
) -> None:
    """Print a model's word and character error rates, with their counts.

    WER is substitutions, deletions and insertions divided by the words that were said; case and
    punctuation count as they are. Recordings that cannot be read are named on stderr and left out
    of the rates, and the exit code is 1.

    Example: keras-contextnet evaluate runs/my_model/preset dev.jsonl --table dev.csv
    """
    with session(keras=not is_litert(model)):
        from keras_contextnet.error_counts import character_errors, word_errors

        utterances = read_utterances([manifest], split)
        recordings = [utterance.audio for utterance in utterances]
        texts, errors = recognise(model, recordings, batch_size, beam_width)
        for error in errors.values():
            report(f"Error: {error}")
        read = [index for index in range(len(utterances)) if index not in errors]
        utterances = [utterances[index] for index in read]
        references = [utterance.text for utterance in utterances]
        hypotheses = [texts[index] for index in read]
        words = word_errors(references, hypotheses)
        _print_rates(words, character_errors(references, hypotheses))
        if table is not None:
            _write_table(table, utterances, words)
            typer.echo(f"Utterances: {table}")
        if errors:
            report(f"Error: {len(errors)} of {len(texts)} recordings could not be read.")
            raise typer.Exit(1)


def _print_rates(words: ErrorCounts, characters: ErrorCounts) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    title = f"{len(words.utterances)} utterances"
    columns = ("", "rate", "errors", *COUNTS, "of")
    table = Table(*columns, title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for name, counts, unit in (("WER", words, "words"), ("CER", characters, "characters")):
        numbers = [str(getattr(counts, name)) for name in ("errors", *COUNTS)]
        table.add_row(name, f"{counts.rate:.2%}", *numbers, f"{counts.length} {unit}")
    Console().print(table)


def _write_table(path: Path, utterances: list[Utterance], words: ErrorCounts) -> None:
    from keras_contextnet.atomic_write import new_file

    rows = sorted(
        zip(utterances, words.utterances, strict=True), key=lambda row: row[1].rate, reverse=True
    )
    with new_file(path) as new, open(new, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=DELIMITERS[path.suffix], lineterminator="\n")
        writer.writerow(["id", "wer", "words", *COUNTS, "reference", "hypothesis", "audio"])
        for utterance, row in rows:
            counts = [getattr(row, name) for name in COUNTS]
            texts = [row.reference, row.hypothesis]
            writer.writerow(
                [utterance.id, f"{row.rate:.4f}", row.length, *counts, *texts, utterance.audio]
            )
