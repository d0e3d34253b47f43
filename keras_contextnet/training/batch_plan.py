"""Which utterances are in which batch of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_contextnet.data import EpochPlan, Utterance


class BatchPlan:
    """The batches of a run that began, or began again, at `start`.

    Args:
        plan: `keras_contextnet.data.EpochPlan`.

    Attributes:
        start: epoch and batch, from 0, of the first batch that this process trains on.
    """

    def __init__(self, plan: EpochPlan) -> None:
        self.plan = plan
        self.start = (0, 0)
        self._epoch: tuple[int, list[list[Utterance]]] | None = None

    @property
    def batches_per_epoch(self) -> int:
        """Steps of an epoch."""
        return len(self.plan)

    def position_after(self, steps: int) -> tuple[int, int]:
        """Epoch and batch that come next after so many steps of this process."""
        epoch, batch = self.plan.position_after(steps, start=self.start)
        return int(epoch), int(batch)

    def batch_of_step(self, step: int) -> tuple[int, int]:
        """Epoch and batch of a step of this process, the first one being 1."""
        return self.position_after(step - 1)

    def utterances(self, epoch: int, batch: int) -> list[Utterance]:
        """What is in a batch."""
        return self._batches(epoch)[batch]

    def seconds(self, epoch: int, batch: int) -> float | None:
        """Seconds of audio in a batch, without padding; None where a duration is not known."""
        durations = [utterance.duration for utterance in self.utterances(epoch, batch)]
        return None if None in durations else float(sum(durations))

    def _batches(self, epoch: int) -> list[list[Utterance]]:
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self.plan.batches(epoch))
        return self._epoch[1]
