"""Has speakers say what they never said, out of the phones that they did say.

    apt install flite               # how words are said that the dictionary lacks
    pip install pocketsphinx        # BSD; finds phones, and has the dictionary
    python examples/recombine_speech manifest.jsonl sentences.txt recombined --hours 0.5

A few hours of speech hold few words, and a recogniser trained on them misses those that they do
not hold. The words of new sentences are put together from pieces of a speaker's recordings that
are cut in the middle of phones, so that every transition between two phones is a real one. It
takes some minutes of a speaker; who has said too little is left out, and named.

The folder gets the recordings, and a manifest whose split is "synthetic".
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from phone_aligner import SILENCE, PhoneAligner
from phone_bank import PhoneBank

import keras_contextnet as kc

SAMPLE_RATE = 16000


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
    """Reads a sentence a line, as transcripts of those that say how they are spoken."""
    texts = map(kc.text.english_transcript, path.read_text("utf-8").splitlines())
    return [text for text in texts if text and len(text.split()) > 3]


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
