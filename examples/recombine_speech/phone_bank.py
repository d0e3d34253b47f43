"""What one speaker has said, in pieces from the middle of a phone to the middle of the next."""

import random
from collections import defaultdict
from itertools import pairwise

import numpy as np
from keras import ops
from phone_aligner import SILENCE, Phone

import keras_contextnet as kc

HOP = 160  # samples a frame, of the aligner and of the features
CROSSFADE = 128  # samples
SEARCH = 80  # samples a cut may move so that two waves meet in phase
LOUDNESS = 0.06  # root mean square of a recording in its bank


class PhoneBank:
    """One speaker's recordings, and what they say where.

    A piece is half a phone and half of the next: `(recording, start, end)` in frames. A recording
    has to be longer than its last phone by a few milliseconds for a cut to move in.
    """

    def __init__(self, recordings: list[tuple[np.ndarray, list[Phone]]], generator: random.Random):
        self.waveforms, self.features = [], []
        self.pieces = defaultdict(list)  # by the two phones' names
        self.begins_word = {}  # whether the second phone of a piece does
        self.pauses = []
        self._generator = generator
        frontend = kc.layers.LogMelSpectrogram()
        for index, (waveform, phones) in enumerate(recordings):
            speech = [
                waveform[phone.start * HOP : phone.end * HOP]
                for phone in phones
                if phone.name != SILENCE
            ]
            rms = np.sqrt(np.mean(np.square(np.concatenate(speech))))
            self.waveforms.append(waveform * (LOUDNESS / max(rms, 1e-4)))
            features = ops.convert_to_numpy(frontend(self.waveforms[-1][None]))[0]  # (time, mels)
            self.features.append(features)
            for phone, following in pairwise(phones):
                piece = (index, phone.middle, min(following.middle, len(features) - 1))
                self.pieces[phone.name, following.name].append(piece)
                self.begins_word[piece] = following.first
            self.pauses += [
                (index, phone.start, phone.end)
                for phone in phones
                if phone.name == SILENCE and phone.length >= 8
            ]

    def missing(self, phones: list[str]) -> float:
        """Returns the part of a text's transitions that the speaker has never made."""
        pairs = list(pairwise(phones))
        return sum(pair not in self.pieces for pair in pairs) / len(pairs)

    def speak(
        self, phones: list[str], firsts: list[bool], most: int = 150
    ) -> list[tuple[int, int, int]]:
        """Chooses the pieces for phones, so that the steps at their joins are least in all.

        Args:
            phones: list of str, with silences at both ends. What the speaker lacks is left out.
            firsts: list of bool, which phones begin a word. It costs to take another's place.
            most: int, how many pieces to choose from, at random, besides those that go on from
                a piece before. The more, the smoother, and the more alike the results.
        """
        steps, costs = [], None
        for pair, first in zip(pairwise(phones), firsts[1:], strict=True):
            known = self.pieces.get(pair)
            if not known:
                continue
            pieces = known if len(known) <= most else self._generator.sample(known, most)
            if not steps:
                costs = np.zeros(len(pieces))
                steps.append((pieces, None))
                continue
            before = steps[-1][0]
            ends = {(recording, end) for recording, _, end in before}
            going_on = [p for p in known if p[:2] in ends]
            pieces = list(dict.fromkeys([*going_on, *pieces]))
            paths = costs[:, None] + self._joins(before, pieces)  # (before, now)
            paths += np.array([self.begins_word[piece] != first for piece in pieces])
            steps.append((pieces, paths.argmin(0)))
            costs = paths.min(0)
        chosen, index = [], int(costs.argmin())
        for pieces, previous in reversed(steps):
            chosen.append(pieces[index])
            index = previous[index] if previous is not None else 0
        return chosen[::-1]

    def _joins(self, before, now) -> np.ndarray:
        """Returns the costs of joining pieces, nothing for what was said in one, (before, now)."""
        left = np.stack([self.features[recording][end] for recording, _, end in before])
        right = np.stack([self.features[recording][start] for recording, start, _ in now])
        squares = np.square(left).mean(1)[:, None] + np.square(right).mean(1)
        distances = squares - 2 * left @ right.T / left.shape[1]
        ends = np.array([(recording, end) for recording, _, end in before])
        starts = np.array([(recording, start) for recording, start, _ in now])
        said_in_one = (ends[:, None] == starts).all(-1)
        return np.where(said_in_one, 0.0, 0.5 + np.maximum(distances, 0))

    def join(self, pieces: list[tuple[int, int, int]]) -> np.ndarray:
        """Returns the waveform of pieces, each join faded over where the waves are most alike."""
        fade = np.linspace(0, 1, CROSSFADE, dtype="float32")
        parts, previous = [], None
        for recording, start, end in pieces:
            wave = self.waveforms[recording]
            first = start * HOP
            if previous is not None and previous != (recording, start):
                # What would have followed fades into this piece.
                tail = self.waveforms[previous[0]][previous[1] * HOP :][:CROSSFADE]
                around = wave[max(first - SEARCH, 0) : first + SEARCH + CROSSFADE]
                if len(tail) == CROSSFADE and len(around) == CROSSFADE + 2 * SEARCH:
                    first += int(np.correlate(around, tail).argmax()) - SEARCH
                    onset = wave[first : first + CROSSFADE]
                    parts.append(tail + fade * (onset - tail))
                    first += CROSSFADE
            parts.append(wave[first : end * HOP])
            previous = (recording, end)
        return np.concatenate(parts)

    def pause(self, shortest: int, longest: int) -> np.ndarray:
        """Returns a silence of the speaker's room, its length at random, in frames."""
        recording, start, end = self._generator.choice(self.pauses)
        end = min(end, start + self._generator.randint(shortest, longest))
        return self.waveforms[recording][start * HOP : end * HOP]
