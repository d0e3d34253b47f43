"""Saving a run's checkpoints while it goes on, and going on from them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import keras

from keras_contextnet.training.batch_plan import BatchPlan
from keras_contextnet.training.checkpoint import CheckpointFolder
from keras_contextnet.training.run_log import RunLog


class Stateful(Protocol):
    """What a callback has to offer for its state to be in the checkpoints."""

    def get_state(self) -> Any: ...

    def set_state(self, state: Any) -> None: ...


class Checkpointing(keras.callbacks.Callback):
    """Saves everything that a run's next numbers follow from, and restores it.

    These are the variables of the model (weights, batch norm statistics, the state of every random
    generator) and of the optimizer (slots, averages, number of steps), the epoch's loss so far,
    where in the data the run is, and the state of other callbacks. A disk that is full costs a
    checkpoint, not the run.

    Args:
        checkpoints: where to.
        log: where problems are told.
        loss: metric that averages the loss of the epoch.
        plan: the batches of each epoch; None where the data have no known order. Then checkpoints
            are saved at the ends of epochs only, since there is no way back into one.
        every_steps: int or None. Batches between checkpoints within an epoch.
        every_minutes: float or None. Minutes between them.
        parts: other callbacks with a state, by name.
        saves: bool. Whether to save and not only to restore: of several processes one does.
    """

    def __init__(
        self,
        checkpoints: CheckpointFolder,
        log: RunLog,
        loss: keras.metrics.Metric,
        plan: BatchPlan | None = None,
        every_steps: int | None = None,
        every_minutes: float | None = None,
        parts: dict[str, Stateful] | None = None,
        saves: bool = True,
    ) -> None:
        super().__init__()
        self.checkpoints, self.log, self.loss, self.plan = checkpoints, log, loss, plan
        self.every_steps, self.every_minutes = every_steps, every_minutes
        self.parts = parts or {}
        self.saves = saves
        self.epoch = 0  # the one that is running, or comes next
        self.first_batch = 0  # the one it begins with
        self._steps = 0  # since this process began
        self._loss_so_far: list[Any] | None = None
        self._last_save = (0, time.monotonic())

    def restore(self, model: keras.Model) -> bool:
        """Sets model, position and parts to the newest checkpoint; returns whether there is one."""
        if self.saves:
            self.checkpoints.remove_remains()
        state, problems = self.checkpoints.restore(self._variables(model))
        for problem in problems:
            self.log.warn(f"{problem} The one before it is used.")
        if state is None:
            return False
        for name, part in self.parts.items():
            part.set_state(state["parts"][name])
        self.epoch = state["epoch"]
        self._go_to(state["batch"], state["data"], state["batches_per_epoch"])
        return True

    def _go_to(self, batch: int, data: Sequence[int] | None, batches_per_epoch: int | None) -> None:
        if self.plan is None:
            return
        if data is None or batches_per_epoch != self.plan.batches_per_epoch:
            self.plan.start = (self.epoch, 0)
            if batch:
                self.log.warn(
                    f"Epoch {self.epoch + 1} was interrupted with other batches "
                    f"({batches_per_epoch} an epoch, now {self.plan.batches_per_epoch}): it begins "
                    "anew."
                )
            return
        self.plan.start = (data[0], data[1])
        self.first_batch = batch
        if batch:
            self._loss_so_far = [keras.ops.convert_to_numpy(v) for v in self.loss.variables]

    def _variables(self, model: keras.Model) -> Sequence[keras.Variable]:
        return [
            *model.trainable_variables,
            *model.non_trainable_variables,
            *model.optimizer.variables,
            *self.loss.variables,
        ]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        if self._loss_so_far is not None:  # `fit` has just reset it
            for variable, value in zip(self.loss.variables, self._loss_so_far, strict=True):
                variable.assign(value)
            self._loss_so_far = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._steps += 1
        position = self.first_batch + batch + 1
        # At the end of an epoch a checkpoint is due anyway, after validation.
        if self.plan is not None and position < self.plan.batches_per_epoch and self._is_due():
            self._save(self.epoch, position)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.first_batch = 0
        self._save(epoch + 1, 0)

    def _is_due(self) -> bool:
        step, moment = self._last_save
        if self.every_steps is not None and self._steps - step >= self.every_steps:
            return True
        minutes = (time.monotonic() - moment) / 60
        return self.every_minutes is not None and minutes >= self.every_minutes

    def _save(self, epoch: int, batch: int) -> None:
        if not self.saves:
            return
        model = self.model
        state = {
            "epoch": epoch,
            "batch": batch,
            "data": None if self.plan is None else self.plan.position_after(self._steps),
            "batches_per_epoch": None if self.plan is None else self.plan.batches_per_epoch,
            "parts": {name: part.get_state() for name, part in self.parts.items()},
        }
        steps = int(keras.ops.convert_to_numpy(model.optimizer.steps))
        with self.log.warns_where_not_written("a checkpoint"):
            self.checkpoints.save(steps, self._variables(model), state)
        self._last_save = (self._steps, time.monotonic())


class ShortFirstEpoch(keras.callbacks.Callback):
    """Ends the first epoch after the batches that an interrupted one had left.

    `fit` gives every epoch the same number of steps; one that is told to stop within an epoch
    still ends it properly, with validation.

    Args:
        batches: int, 1 or more.
    """

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches
        self._first = True
        self._stopped = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._first and batch + 1 >= self.batches and not self._model.stop_training:
            self._model.stop_training = self._stopped = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._first = False
        if self._stopped:
            self._model.stop_training = self._stopped = False
