"""What is worth knowing of an epoch besides its loss."""

from __future__ import annotations

import time
from typing import Any

import keras

from keras_contextnet.training.batch_plan import BatchPlan


class Measures(keras.callbacks.Callback):
    """Adds learning rate, seconds and speed to the logs of an epoch, for those that record them.

    `learning_rate` is that of the next step, `seconds` the time of the epoch's training steps and
    `audio_per_second` the seconds of audio, without padding, that were trained on in one of them.

    Args:
        plan: what is in each batch; None if that is not known.
    """

    def __init__(self, plan: BatchPlan | None = None) -> None:
        super().__init__()
        self.plan = plan
        self.first_batch = 0  # of the epoch that is running
        self.audio: float | None = None  # seconds of this epoch, None where not known
        self.began = self.last = time.monotonic()
        self._epoch = 0

    @property
    def audio_per_second(self) -> float | None:
        """Seconds of audio in a second of training, in this epoch so far."""
        if not self.audio or self.last <= self.began:
            return None
        return self.audio / (self.last - self.began)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self.audio = None if self.plan is None else 0.0
        self.began = self.last = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.last = time.monotonic()
        if self.plan is not None and self.audio is not None:
            seconds = self.plan.seconds(self._epoch, self.first_batch + batch)
            self.audio = None if seconds is None else self.audio + seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.first_batch = 0
        if logs is None:
            return
        rate = self.model.optimizer.learning_rate
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))
        logs["seconds"] = round(self.last - self.began, 1)
        if self.audio_per_second is not None:
            logs["audio_per_second"] = round(self.audio_per_second, 2)
