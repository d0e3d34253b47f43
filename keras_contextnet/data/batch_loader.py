"""Reads the audio of a batch, augments it and pads it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from keras_contextnet.data.audio import AudioError, load_audio
from keras_contextnet.data.epoch_plan import EpochPlan
from keras_contextnet.data.manifest import Utterance

# Tokens are drawn by other numbers than augmentation.
_FOR_TOKENS = 1

Augmentation = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


class BatchLoader:
    """Reads batches of a plan, several at a time if need be.

    Args:
        plan: The plan. What cannot be read is added to its `skipped` and `dropped_batches`.
        sample_rate: The rate of the audio, in Hz.
        augment: What is done to each waveform, in this order.
        part: Which part of each batch is read, and of how many.
    """

    def __init__(
        self,
        plan: EpochPlan,
        sample_rate: int,
        augment: Sequence[Augmentation],
        part: tuple[int, int] = (0, 1),
    ):
        self.plan = plan
        self.part = part
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
            their lengths (batch,) int32, padded with zeros. Where devices share the batch, also the
            weights (batch,) float32 of the utterances: 0 for rows that only make up the number.
        """
        rows = self._rows_of_part(indices)
        waveforms = [None if i is None else self._waveform(epoch, i) for i in rows]
        if self.plan.devices == 1:
            rows = [i for i, waveform in zip(rows, waveforms, strict=True) if waveform is not None]
            waveforms = [waveform for waveform in waveforms if waveform is not None]
            if not rows:
                self.plan.dropped_batches.add((epoch, batch))
                self._check_that_some_can_be_read()
        empty = np.zeros(0, np.float32)
        audio = [empty if waveform is None else waveform for waveform in waveforms]
        tokens = [
            [] if waveform is None else self._tokens(epoch, i)
            for i, waveform in zip(rows, waveforms, strict=True)
        ]
        if self.plan.devices == 1:
            return *_pad(audio, np.float32), *_pad(tokens, np.int32)
        # A part may be made up altogether; models are spared tensors without any frame.
        padded = *_pad(audio, np.float32, at_least=1), *_pad(tokens, np.int32, at_least=1)
        return *padded, self._weights(len(indices), rows, waveforms)

    def _rows_of_part(self, indices: np.ndarray) -> list[int | None]:
        """Returns the places of utterances in the plan, None for a row that is made up."""
        part, parts = self.part
        rows: list[int | None] = [*indices, *[None] * (-len(indices) % self.plan.devices)]
        size = len(rows) // parts
        return rows[part * size : (part + 1) * size]

    def _weights(
        self, planned: int, rows: list[int | None], waveforms: list[np.ndarray | None]
    ) -> np.ndarray:
        """Returns weights with which the mean over all rows is that over the utterances."""
        is_read = np.array([waveform is not None for waveform in waveforms])
        lost = sum(i is not None for i in rows) - is_read.sum()
        if lost:
            self._check_that_some_can_be_read()
        whole = planned + -planned % self.plan.devices
        return (is_read * (whole / max(1, planned - lost))).astype(np.float32)

    def _waveform(self, epoch: int, index: int) -> np.ndarray | None:
        utterance = self.plan.utterances[index]
        waveform = self._load(utterance)
        return None if waveform is None else self._augmented(waveform, epoch, utterance)

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
        generator = self._generator(epoch, utterance)
        for augmentation in self.augment:
            waveform = augmentation(waveform, self.sample_rate, generator)
        if not np.isfinite(waveform).all():
            raise ValueError(
                "Expected augment to return finite samples. Received: NaN or infinity for "
                f"{utterance.id}."
            )
        return waveform

    def _tokens(self, epoch: int, index: int) -> list[int]:
        if not self.plan.sampled_words:
            return self.plan.tokens[index]
        utterance = self.plan.utterances[index]
        generator = self._generator(epoch, utterance, _FOR_TOKENS)
        return self.plan.tokenizer.sample(utterance.text, self.plan.sampled_words, generator)

    def _generator(self, epoch: int, utterance: Utterance, *purpose: int) -> np.random.Generator:
        # By name, so that neither the batch nor the other utterances change what is drawn.
        name = zlib.crc32(utterance.id.encode())
        return np.random.default_rng([self.plan.seed, epoch, name, *purpose])


def _pad(
    rows: Sequence[Sequence[float]], dtype: type, at_least: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(row) for row in rows], np.int32)
    padded = np.zeros((len(rows), lengths.max(initial=at_least)), dtype)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded, lengths
