"""The best epoch of a run, as a preset."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import keras

from keras_contextnet.models.preset_weights import load_preset_weights
from keras_contextnet.models.presets import WEIGHTS
from keras_contextnet.training.averaged_weights import AveragedWeights
from keras_contextnet.training.run_log import RunLog


class BestPreset(keras.callbacks.Callback):
    """Saves the model as a preset after every epoch that is better than those before.

    Where the optimizer averages the weights, the preset has the averages.

    Args:
        folder: of the preset.
        log: where problems are told.
        monitor: name of what has to be low, such as "val_wer"; None saves every epoch.
        averages: what the model is evaluated with, a callback of the same run.
    """

    def __init__(
        self, folder: str | Path, log: RunLog, monitor: str | None, averages: AveragedWeights
    ) -> None:
        super().__init__()
        self.folder, self.log, self.monitor = Path(folder), log, monitor
        self.averages = averages
        self.best = math.inf

    def get_state(self) -> float | None:
        return None if math.isinf(self.best) else self.best

    def set_state(self, state: float | None) -> None:
        self.best = math.inf if state is None else state

    def on_train_begin(self, logs: Any = None) -> None:
        self._remove_remains()

    def _remove_remains(self) -> None:
        """Removes what was being written when a process was killed, or puts it back."""
        for remains in self.folder.parent.glob(f".{self.folder.name}-*"):
            if remains.name.endswith("-old") and not self.folder.exists():
                remains.rename(self.folder)  # killed between its two moves
            else:
                shutil.rmtree(remains, ignore_errors=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = (logs or {}).get(self.monitor, math.nan) if self.monitor else -math.inf
        if not (self.monitor is None or value < self.best or not self.folder.exists()):
            return
        with self.log.warns_where_not_written(f"the preset of epoch {epoch + 1}"):
            with self.averages.in_place():
                self.model.save_to_preset(self.folder)
            if self.monitor and value < self.best:
                self.best = float(value)

    @property
    def is_there(self) -> bool:
        """Whether one could be written."""
        return (self.folder / WEIGHTS).is_file()

    def load(self, model: keras.Model) -> None:
        """Gives the model the weights of the preset."""
        load_preset_weights(model, self.folder / WEIGHTS)
