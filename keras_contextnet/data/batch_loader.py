"""Reads the audio of a batch, augments it and pads it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from keras_contextnet.data.audio import AudioError, load_audio
from keras_contextnet.data.epoch_plan import EpochPlan
from keras_contextnet.data.manifest import Utterance

Augmentation = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


class BatchLoader:
    """Reads batches of a plan, several at a time if need be.

    Args:
        plan: The plan. What cannot be read is added to its `skipped` and `dropped_batches`.
        sample_rate: The rate of the audio, in Hz.
        augment: What is done to each waveform, in this order.
    """

    def __init__(self, plan: EpochPlan, sample_rate: int, augment: Sequence[Augmentation]):
        self.plan = plan
        self.sample_rate = sample_rate
        self.augment = tuple(augment)

    def __call__(self, epoch: int, batch: int, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Reads one batch.

        Args:
            epoch: The number of the epoch.
            batch: The number of the batch in it.
            indices: The places of its utterances in the plan.

        Returns:
            Audio (batch, samples) float32, its lengths (batch,) int32, tokens (batch, U) int32 and
            their lengths (batch,) int32, padded with zeros.
        """
        waveforms, labels = [], []
        for i in indices:
            waveform = self._load(self.plan.utterances[i])
            if waveform is not None:
                waveforms.append(self._augmented(waveform, epoch, self.plan.utterances[i]))
                labels.append(self.plan.tokens[i])
        if not waveforms:
            self.plan.dropped_batches.add((epoch, batch))
            self._check_that_some_can_be_read()
        return *_pad(waveforms, np.float32), *_pad(labels, np.int32)

    def _load(self, utterance: Utterance) -> np.ndarray | None:
        try:
            return load_audio(utterance.audio, self.sample_rate)
        except AudioError as error:
            if self.plan.on_error == "raise":
                raise
            self.plan.skipped.add(utterance, str(error))
            return None

    def _check_that_some_can_be_read(self) -> None:
        # An endless data set would look for a batch for ever.
        if all(utterance in self.plan.skipped for utterance in self.plan.utterances):
            _, reason = next(iter(self.plan.skipped))
            raise AudioError(
                "Expected at least one utterance that can be read. Received: "
                f"{len(self.plan.utterances)}, all of which were left out, the first as: {reason}"
            )

    def _augmented(self, waveform: np.ndarray, epoch: int, utterance: Utterance) -> np.ndarray:
        # By name, so that neither the batch nor the other utterances change what is drawn.
        name = zlib.crc32(utterance.id.encode())
        generator = np.random.default_rng([self.plan.seed, epoch, name])
        for augmentation in self.augment:
            waveform = augmentation(waveform, self.sample_rate, generator)
        if not np.isfinite(waveform).all():
            raise ValueError(
                "Expected augment to return finite samples. Received: NaN or infinity for "
                f"{utterance.id}."
            )
        return waveform


def _pad(rows: Sequence[Sequence[float]], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(row) for row in rows], np.int32)
    padded = np.zeros((len(rows), lengths.max(initial=0)), dtype)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded, lengths
