"""Telling which batches a run had to skip."""

from __future__ import annotations

from typing import Any

import keras

from keras_contextnet.training.batch_plan import BatchPlan
from keras_contextnet.training.finite_steps import FiniteSteps
from keras_contextnet.training.run_log import RunLog


class BadBatches(keras.callbacks.Callback):
    """Names the batches that `FiniteSteps` skipped, with their utterances, and counts them.

    Args:
        log: where they are named.
        plan: what is in each batch; None if that is not known.
        every: int. Batches after which the optimizer is asked; asking waits for the device.
    """

    def __init__(self, log: RunLog, plan: BatchPlan | None = None, every: int = 50) -> None:
        super().__init__()
        self.log, self.plan, self.every = log, plan, every
        self.told = 0
        self._steps_before = 0
        self._before_epoch = 0
        self._earlier_in_epoch = 0

    def get_state(self) -> int:
        """How many batches of this epoch were skipped; all of them have been named then."""
        self._tell()
        return self.told - self._before_epoch

    def set_state(self, state: int) -> None:
        self._earlier_in_epoch = state

    def on_train_begin(self, logs: Any = None) -> None:
        optimizer = self._optimizer()
        self.told = int(keras.ops.convert_to_numpy(optimizer.skipped))
        self._steps_before = int(keras.ops.convert_to_numpy(optimizer.steps))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before_epoch = self.told - self._earlier_in_epoch
        self._earlier_in_epoch = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (batch + 1) % self.every == 0:
            self._tell()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._tell()
        if logs is not None:
            logs["skipped"] = self.told - self._before_epoch
        self._before_epoch = self.told

    def _optimizer(self) -> FiniteSteps:
        return self.model.optimizer

    def _tell(self) -> None:
        optimizer = self._optimizer()
        skipped = int(keras.ops.convert_to_numpy(optimizer.skipped))
        steps = optimizer.last_skipped(self.told)
        for step in steps:
            self.log.warn(f"Skipped {self._name(step - self._steps_before)}")
        if skipped - self.told > len(steps):
            self.log.warn(f"Skipped {skipped - self.told - len(steps)} batches before that.")
        self.told = skipped

    def _name(self, step: int) -> str:
        reason = "its loss or gradients were not finite"
        if self.plan is None:
            return f"the batch of step {step}: {reason}."
        epoch, batch = self.plan.batch_of_step(step)
        ids = ", ".join(str(utterance.id) for utterance in self.plan.utterances(epoch, batch))
        return f"batch {batch + 1} of epoch {epoch + 1}: {reason}. Utterances: {ids}"
