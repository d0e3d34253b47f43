"""The table of a run's epochs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras

from keras_contextnet.atomic_write import new_file
from keras_contextnet.training.run_log import RunLog


class HistoryFile(keras.callbacks.Callback):
    """Writes a row an epoch to a CSV file, which a run that goes on continues.

    Args:
        path: of the file.
        first_epoch: int. Rows of this epoch and later ones, of a run that was interrupted before
            its checkpoint, are left out.
        log: where problems are told.
    """

    def __init__(self, path: str | Path, first_epoch: int, log: RunLog) -> None:
        super().__init__()
        self.path, self.log = Path(path), log
        self.rows = [row for row in read_history(self.path) if int(row["epoch"]) < first_epoch]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.rows.append({"epoch": epoch, **(logs or {})})
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with (
            self.log.warns_where_not_written(str(self.path)),
            new_file(self.path) as new,
            open(new, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)


def read_history(path: Path) -> list[dict[str, Any]]:
    """Rows of a history file, none if there is no file."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
