"""A picture of how training goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_contextnet.atomic_write import new_file


class LearningCurve(keras.callbacks.Callback):
    """Draws loss and error rates by epoch to a picture, anew after every epoch.

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

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append((epoch + 1, float(value)))
        self._draw()

    def _draw(self) -> None:
        from matplotlib.figure import Figure

        rates = [name for name in self.history if name.removeprefix("val_") in ("wer", "cer")]
        losses = [name for name in self.history if name.removeprefix("val_") == "loss"]
        panels = [names for names in (losses, rates) if names]
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
