"""A picture of how training goes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from keras_contextnet.atomic_write import new_file

# what is drawn together
PANELS = (("loss",), ("wer", "cer"), ("learning_rate",))


class LearningCurve(keras.callbacks.Callback):
    """Draws losses, error rates and learning rate by epoch to a picture, after every epoch.

    Args:
        path: where the picture goes; its suffix chooses the format (`.png`, `.svg`, `.pdf`).

    Raises:
        ImportError: without matplotlib (extra `plot`).

    Example:

    ```python
    from keras_contextnet.training.learning_curve import LearningCurve

    callback = LearningCurve("curve.png")  # model.fit(..., callbacks=[callback])
    ```
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "Drawing a learning curve needs matplotlib. Install it with "
                '`pip install "keras-contextnet[plot]"`.'
            ) from error
        self.path = Path(path)
        self.history: dict[str, list[tuple[int, float]]] = {}

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds epochs of before: mappings of `epoch`, from 0, and values, as in history.csv."""
        for row in rows:
            self._add(int(row["epoch"]), row)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._add(epoch, logs or {})
        try:
            self._draw()
        except OSError as error:
            warnings.warn(f"Could not draw {self.path}: {error}", stacklevel=2)

    def _add(self, epoch: int, logs: Mapping[str, Any]) -> None:
        for name, value in logs.items():
            if _panel(name) is not None and value not in (None, ""):
                self.history.setdefault(name, []).append((epoch + 1, float(value)))

    def _draw(self) -> None:
        from matplotlib.figure import Figure

        panels = [[name for name in self.history if _panel(name) == panel] for panel in PANELS]
        panels = [names for names in panels if names]
        if not panels:
            return
        figure = Figure(figsize=(5 * len(panels), 3.5), layout="constrained")
        for index, names in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), index + 1)
            for name in names:
                epochs, values = zip(*self.history[name], strict=True)
                axes.plot(epochs, values, label=name, marker="." if len(epochs) < 40 else None)
            axes.set_xlabel("epoch")
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            axes.legend()
        with new_file(self.path) as new:
            figure.savefig(new, dpi=120, format=self.path.suffix.removeprefix(".") or None)


def _panel(name: str) -> tuple[str, ...] | None:
    plain = name.removeprefix("val_")
    return next((panel for panel in PANELS if plain in panel), None)
