"""Showing a run: a bar where somebody watches, a line an epoch in a file."""

from __future__ import annotations

import sys
from typing import Any

import keras

from keras_contextnet.training.measures import Measures
from keras_contextnet.training.run_log import RunLog


class Progress(keras.callbacks.Callback):
    """Shows how far an epoch is, and says in a line what each one gave.

    Args:
        log: gets the lines too.
        measures: knows the speed.
        verbose: 0 shows nothing, 1 a bar and lines, 2 lines; "auto" is 1 on a terminal, else 2.
    """

    def __init__(self, log: RunLog, measures: Measures, verbose: int | str = "auto") -> None:
        super().__init__()
        if verbose == "auto":
            verbose = 1 if sys.stdout.isatty() else 2
        self.log, self.measures, self.verbose = log, measures, int(verbose)
        self._bar: Any = None
        self._task: Any = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        if self.verbose == 1:
            self._bar = _make_bar()
            self._task = self._bar.add_task(
                f"epoch {epoch + 1}/{self.params['epochs']}",
                total=self.params.get("steps"),
                completed=self.measures.first_batch,
                values="",
            )
            self._bar.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None:
            values = [f"loss {(logs or {}).get('loss', 0.0):.4g}"]
            if self.measures.audio_per_second is not None:
                values.append(f"{self.measures.audio_per_second:.0f} s of audio/s")
            self._bar.update(
                self._task,
                completed=self.measures.first_batch + batch + 1,
                values=", ".join(values),
            )

    def on_test_begin(self, logs: Any = None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, values="validation")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._stop()
        line = f"epoch {epoch + 1}/{self.params['epochs']}  {describe(logs or {})}"
        self.log.line(line)
        if self.verbose:
            print(line, flush=True)

    def on_train_end(self, logs: Any = None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def describe(logs: dict[str, Any]) -> str:
    """One line of an epoch's numbers."""
    return "  ".join(_describe(name, value) for name, value in logs.items() if value is not None)


def _describe(name: str, value: float) -> str:
    if name.removeprefix("val_") in ("wer", "cer"):
        return f"{name} {value:.2%}"
    if name == "seconds":
        return f"{value:.0f} s"
    if name == "audio_per_second":
        return f"{value:.0f} s of audio/s"
    return f"{name.replace('_rate', ' rate')} {value:.4g}"


def _make_bar() -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
        transient=True,
        refresh_per_second=4,
    )
