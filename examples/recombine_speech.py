"""Has speakers say what they never said, out of the phones that they did say.

    apt install flite               # how words are said that the dictionary lacks
    pip install pocketsphinx        # BSD; finds phones, and has the dictionary
    python examples/recombine_speech.py manifest.jsonl sentences.txt recombined --hours 0.5

A few hours of speech hold few words, and a recogniser trained on them misses those that they do
not hold. The words of new sentences are put together from pieces of a speaker's recordings that
are cut in the middle of phones, so that every transition between two phones is a real one. It
takes some minutes of a speaker; who has said too little is left out, and named.

The folder gets the recordings, and a manifest whose split is "synthetic".
"""

import argparse
import json
import random
import re
import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from keras import ops

import keras_contextnet as kc

SAMPLE_RATE = 16000
HOP = 160  # samples a frame, of the aligner and of the features
CROSSFADE = 128  # samples
SEARCH = 80  # samples a cut may move so that two waves meet in phase
SILENCE = "SIL"
LOUDNESS = 0.06  # root mean square of a recording in its bank


@dataclass(frozen=True)
class Phone:
    """A phone where it was said, in frames."""

    name: str
    start: int
    length: int
    first: bool = False  # of its word

    @property
    def end(self) -> int:
        """The frame after it."""
        return self.start + self.length

    @property
    def middle(self) -> int:
        """The frame to cut at."""
        return self.start + self.length // 2


class PhoneAligner:
    """Finds the phones of a recording whose text is known, with pocketsphinx."""

    def __init__(self):
        from pocketsphinx import Decoder

        # Its search for phones fails on most paths that a second look (bestpath) has chosen.
        self._decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")

    def pronounce(self, word: str) -> list[str]:
        """Returns a word's phones: the dictionary's, or else what flite makes of its letters."""
        phones = self._decoder.lookup_word(word)
        if phones is None:
            command = ["flite", "-t", word.replace("'", ""), "-ps", "-o", "none"]
            spoken = subprocess.run(command, text=True, capture_output=True, check=True).stdout
            names = [phone.upper() for phone in spoken.split() if phone != "pau"]
            phones = " ".join("AH" if name == "AX" else name for name in names)
            self._decoder.add_word(word, phones)
        return phones.split()

    def align(self, waveform: np.ndarray, text: str) -> list[Phone]:
        """Returns all phones and silences, or none where the text does not fit."""
        for word in text.split():
            self.pronounce(word)
        pcm = (np.clip(waveform, -1, 1) * 32767).astype("int16").tobytes()
        try:
            self._decoder.set_align_text(text)
            self._hear(pcm)
            if self._decoder.hyp() is None:
                return []
            self._decoder.set_alignment()
            self._hear(pcm)
        except RuntimeError:
            return []
        words = self._decoder.get_alignment()
        return [
            Phone(phone.name, phone.start, phone.duration, first=index == 0)
            for word in words
            for index, phone in enumerate(word)
        ]

    def _hear(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()


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


class RareWordsFirst:
    """Sentences at random, of eight the one whose words have been said least."""

    def __init__(self, sentences: list[str], said: Counter, generator: random.Random):
        self._sentences, self._said, self._generator = sentences, said, generator

    def next(self) -> str:
        """Returns a sentence, and counts its words as said."""
        chosen = max(self._generator.choices(self._sentences, k=8), key=self._rarity)
        self._said.update(chosen.split())
        return chosen

    def _rarity(self, sentence: str) -> float:
        words = sentence.split()
        return sum(1 / (1 + self._said[word]) for word in words) / len(words) ** 0.5


def read_sentences(path: Path) -> list[str]:
    """Reads a sentence a line, as transcripts are written, leaving out what is not letters."""
    letters = str.maketrans(kc.text.english_normalization())
    lines = [line.translate(letters).split() for line in path.read_text("utf-8").splitlines()]
    texts = [" ".join(word.strip("'") for word in line if word.strip("'")) for line in lines]
    return [text for text in texts if re.fullmatch("[a-z' ]+", text) and len(text.split()) > 3]


def make_utterance(bank, aligner, sentences, words) -> tuple[str, np.ndarray] | None:
    """Returns text and waveform of some words or more; nothing where the speaker lacks too much."""
    texts, parts = [], [bank.pause(5, 30)]
    while sum(len(text.split()) for text in texts) < words:
        texts.append(sentences.next())
        words_phones = [[SILENCE], *map(aligner.pronounce, texts[-1].split()), [SILENCE]]
        phones = [phone for word in words_phones for phone in word]
        firsts = [index == 0 for word in words_phones for index in range(len(word))]
        if bank.missing(phones) > 0.06:
            return None
        pieces = bank.speak(phones, firsts)
        # Half of the silence on either side would be seconds long.
        (first, start, end), (last, begin, stop) = pieces[0], pieces[-1]
        pieces[0] = (first, max(start, end - 20), end)
        pieces[-1] = (last, begin, min(stop, begin + 20))
        parts += [bank.join(pieces), bank.pause(5, 40)]
    return " ".join(texts), np.concatenate(parts)


def write_speaker(bank, aligner, sentences, folder, hours, generator) -> list[dict]:
    """Writes some hours of one speaker as FLAC, and returns the manifest's lines."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, seconds, tries = [], 0.0, 0
    while seconds < hours * 3600:
        tries += 1
        if not bank.pauses or tries > 20 * (len(lines) + 5):
            return []
        made = make_utterance(bank, aligner, sentences, generator.randint(8, 34))
        if made is None or len(made[1]) > 17 * SAMPLE_RATE:
            continue
        text, waveform = made
        waveform = waveform * 10 ** (generator.uniform(-6, 6) / 20)
        path = folder / f"{folder.name}-{len(lines):05d}.flac"
        soundfile.write(path, np.clip(waveform, -1, 1), SAMPLE_RATE)
        duration = len(waveform) / SAMPLE_RATE
        seconds += duration
        line = {"id": path.stem, "path": f"{folder.name}/{path.name}", "text": text}
        line |= {"split": "synthetic", "speaker": folder.name, "duration": duration}
        lines.append(line)
    return lines


def main() -> None:
    """Recombines every speaker of a manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="recordings with texts and speakers")
    parser.add_argument("sentences", type=Path, help="what to say, a sentence a line")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", help="of the manifest; all if not given")
    parser.add_argument("--hours", type=float, default=0.5, help="of each speaker")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    generator = random.Random(arguments.seed)
    utterances = kc.data.read_manifest(arguments.manifest, arguments.split)
    said = Counter(word for utterance in utterances for word in utterance.text.split())
    sentences = RareWordsFirst(read_sentences(arguments.sentences), said, generator)
    aligner = PhoneAligner()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with open(arguments.folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for speaker in sorted({utterance.speaker or "unknown" for utterance in utterances}):
            recordings = []
            for utterance in (u for u in utterances if (u.speaker or "unknown") == speaker):
                waveform = kc.data.load_audio(utterance.audio)
                phones = aligner.align(waveform, utterance.text)
                if phones:
                    recordings.append((waveform, phones))
            bank = PhoneBank(recordings, generator)
            folder = arguments.folder / speaker
            lines = write_speaker(bank, aligner, sentences, folder, arguments.hours, generator)
            for line in lines:
                manifest.write(json.dumps(line) + "\n")
            hours = sum(line["duration"] for line in lines) / 3600
            print(f"{speaker}: {hours:.2f} hours" if lines else f"{speaker}: too little was said")


if __name__ == "__main__":
    main()
