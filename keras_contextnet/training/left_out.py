"""Telling which utterances a run goes without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_contextnet.training.run_log import RunLog

if TYPE_CHECKING:
    from keras_contextnet.data import EpochPlan


class LeftOutUtterances(keras.callbacks.Callback):
    """Counts the utterances that a plan leaves out, and names each of them in the log of the run.

    Args:
        log: where they are named, with the reason.
        plan: `keras_contextnet.data.EpochPlan`.
    """

    def __init__(self, log: RunLog, plan: EpochPlan) -> None:
        super().__init__()
        self.log, self.plan = log, plan
        self.told = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._tell()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._tell()
        if logs is not None:
            logs["left_out"] = self.told

    def _tell(self) -> None:
        for utterance, reason in list(self.plan.skipped)[self.told :]:
            self.log.line(f"Left out {utterance.id}. {reason}")
            self.told += 1
