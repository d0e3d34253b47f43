"""Synthesises speech to train on, from sentences, a line each.

    pip install "hibari-tts[fast]"      # one voice; Apache-2.0; Python 3.11 and later
    apt install flite                   # the others
    python examples/synthesize_speech.py sentences.txt synthetic --voices heart slt rms awb

Each sentence is spoken once, by one of the voices, at a tempo of its own and by a speaker of
another size: resampling moves pitch and formants, and the tempo makes up for what that does to
the duration. The folder gets the recordings, and a manifest whose split is "synthetic".
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from keras_contextnet.text import english_normalization

SAMPLE_RATE = 16000
# The sizes of speakers whom a voice can pass for: below 1 is taller, with a deeper voice.
SIZES = {"heart": (0.72, 1.12), "slt": (0.8, 1.12), "rms": (0.88, 1.25), "awb": (0.88, 1.25)}


def hibari_voice() -> Callable[[str, float], tuple[np.ndarray, int]]:
    """Returns what speaks with the voice of hibari-tts."""
    from hibari import Hibari

    synthesizer = Hibari()
    return lambda text, tempo: (synthesizer(text, speed=min(max(tempo, 0.5), 2.0)), 24000)


def flite_voice(name: str) -> Callable[[str, float], tuple[np.ndarray, int]]:
    """Returns what speaks with a voice of flite."""

    def speak(text: str, tempo: float) -> tuple[np.ndarray, int]:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            stretch = f"duration_stretch={1 / tempo}"
            subprocess.run(
                ["flite", "-voice", name, "--setf", stretch, "-t", text, "-o", file.name],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            return soundfile.read(file.name, dtype="float32")

    return speak


def transcript(sentence: str) -> str:
    """Returns a sentence as transcripts are written, without quotation marks."""
    words = sentence.translate(str.maketrans(english_normalization())).split()
    return " ".join(word.strip("'") for word in words if word.strip("'"))


def main() -> None:
    """Speaks every sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--longest", type=float, default=17.0, help="seconds; longer: left out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    random = np.random.default_rng(arguments.seed)
    voices = {
        name: hibari_voice() if name == "heart" else flite_voice(name) for name in arguments.voices
    }
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines, hours = arguments.sentences.read_text("utf-8").splitlines(), 0.0
    with open(arguments.folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for number, sentence in enumerate(lines):
            text = transcript(sentence)
            # How a number is read is not in the text.
            if not re.fullmatch("[a-z' ]+", text):
                continue
            voice = arguments.voices[random.integers(len(arguments.voices))]
            size = np.exp(random.uniform(*np.log(SIZES[voice])))
            tempo = random.uniform(0.8, 1.25)
            waveform, rate = voices[voice](sentence, tempo / size)
            waveform = soxr.resample(waveform, rate * size, SAMPLE_RATE)
            duration = len(waveform) / SAMPLE_RATE
            if not 1 <= duration <= arguments.longest:
                continue
            waveform *= random.uniform(0.2, 0.8) / np.abs(waveform).max()
            path = arguments.folder / f"{number:06d}.flac"
            soundfile.write(path, waveform, SAMPLE_RATE)
            line = {"id": path.stem, "path": path.name, "text": text}
            line |= {"split": "synthetic", "speaker": voice, "duration": duration}
            manifest.write(json.dumps(line) + "\n")
            hours += duration / 3600
    print(f"{hours:.2f} hours in {arguments.folder}")


if __name__ == "__main__":
    main()
