"""Runs LiteRT files on 64-bit ARM, emulated, and compares their tokens with this machine's.

    apt-get install qemu-user-static
    python benchmarks/litert_arm.py asr.tflite speech1.wav speech2.wav --root arm_root

A folder is filled with Debian's Python for arm64 and the aarch64 wheel of ai-edge-litert, and QEMU
runs that Python. Each .tflite file transcribes each WAV file here and on the ARM
processors named by --cpu: XNNPACK chooses other kernels for each. The exit code is 0 only if all
tokens are equal. --root keeps the folder for the next time. No administrator's rights are needed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import wave
import zipfile
from pathlib import Path

import numpy as np
from litert_arm_root import (
    PROCESSORS,
    build_root,
    emulated_environment,
    emulator,
    is_ready,
)


def main() -> None:
    arguments = _parse()
    if arguments.run:
        run(*arguments.files)
        return
    models = [Path(name) for name in arguments.files if name.endswith(".tflite")]
    recordings = [Path(name) for name in arguments.files if not name.endswith(".tflite")]
    if not models or not recordings:
        sys.exit(f"Expected .tflite files and WAV files. Received: {arguments.files}")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(arguments.root or Path(scratch) / "root")
        started = time.perf_counter()
        if is_ready(root):
            print(f"{root} is ready")
        else:
            build_root(root, arguments.source)
            print(f"Made an ARM root in {time.perf_counter() - started:.1f} s")
        differing = sum(
            compare(model, recordings, root, arguments.cpu, Path(scratch)) for model in models
        )
    sys.exit(1 if differing else 0)


def compare(
    model: Path, recordings: list[Path], root: Path, processors: list[str], scratch: Path
) -> int:
    """Prints a table for one .tflite file; returns how many transcripts differ."""
    pieces, sample_rate = read_vocabulary(model)
    inputs = scratch / "inputs.npz"
    np.savez(inputs, *[read_wav(recording, sample_rate) for recording in recordings])
    here, _ = transcribe([sys.executable], model, inputs, os.environ)
    different = 0
    print(f"\n{model.name}\n{'processor':<12}{'audio':<18}{'tokens':<9}{'encoder':<10}text")
    for processor in processors:
        there, seconds = transcribe(
            emulator(root), model, inputs, emulated_environment(root, processor)
        )
        equal = 0
        for index, recording in enumerate(recordings):
            expected, received = here[f"tokens_{index}"], there[f"tokens_{index}"]
            same = np.array_equal(expected, received)
            equal += same
            print(
                f"{processor:<12}{recording.name:<18}{'equal' if same else 'DIFFER':<9}"
                f"{distance(here, there, index):<10}{text_of(received, pieces)}"
            )
            if not same:
                print(f"{'':<49}{text_of(expected, pieces)} (this machine)")
        print(f"{processor}: {equal} of {len(recordings)} equal, {seconds:.1f} s")
        different += len(recordings) - equal
    return different


def distance(here: dict[str, np.ndarray], there: dict[str, np.ndarray], index: int) -> str:
    """The largest difference of the encoder's outputs, as a part of their largest value."""
    if f"frames_{index}" not in here:
        return "-"
    expected = here[f"frames_{index}"]
    return f"{np.abs(expected - there[f'frames_{index}']).max() / np.abs(expected).max():.0e}"


def transcribe(
    python: list[str], model: Path, inputs: Path, environment: dict[str, str]
) -> tuple[dict[str, np.ndarray], float]:
    """Runs this script's `run` in another process; returns its outputs and its seconds."""
    outputs = inputs.with_name("outputs.npz")
    command = [*python, str(Path(__file__).resolve()), "--run", str(model), str(inputs)]
    started = time.perf_counter()
    done = subprocess.run([*command, str(outputs)], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    with np.load(outputs) as arrays:
        return dict(arrays), time.perf_counter() - started


def run(model: str, inputs: str, outputs: str) -> None:
    """Transcribes every waveform of `inputs` with `model`; in the process that is measured."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=1)
    signatures = interpreter.get_signature_list()
    results = {}
    with np.load(inputs) as waveforms:
        for index, name in enumerate(waveforms.files):
            audio = {
                "audio": waveforms[name][np.newaxis],
                "audio_length": np.array([waveforms[name].size], np.int32),
            }
            transcript = interpreter.get_signature_runner("transcribe")(**audio)
            results[f"tokens_{index}"] = transcript["tokens"][0, : transcript["token_length"][0]]
            if "encode" in signatures:
                frames = interpreter.get_signature_runner("encode")(**audio)["frames"]
                results[f"frames_{index}"] = frames
    np.savez(outputs, **results)


def read_vocabulary(model: Path) -> tuple[list[str], int]:
    """The pieces and the sample rate in the zip archive at the file's end."""
    if not zipfile.is_zipfile(model):
        sys.exit(f"Expected a file that keras-contextnet exported. Received: {model}")
    with zipfile.ZipFile(model) as files:
        pieces = []
        if "tokens.txt" in files.namelist():
            pieces = files.read("tokens.txt").decode("utf-8").split("\n")
        return pieces, json.loads(files.read("metadata.json"))["sample_rate"]


def text_of(tokens: np.ndarray, pieces: list[str]) -> str:
    if not pieces:
        return " ".join(map(str, tokens))
    return "".join(pieces[token] for token in tokens).replace("▁", " ").strip()


def read_wav(path: Path, sample_rate: int) -> np.ndarray:
    """A 16-bit WAV file as float32 in [-1, 1], its channels averaged: (samples,)."""
    with wave.open(str(path)) as file:
        if file.getframerate() != sample_rate or file.getsampwidth() != 2:
            sys.exit(
                f"Expected 16-bit audio of {sample_rate} Hz. Received: {path} of "
                f"{8 * file.getsampwidth()} bits and {file.getframerate()} Hz. Convert it first."
            )
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.reshape(-1, file.getnchannels()).mean(axis=1, dtype=np.float32) / 32768


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", help=".tflite files and WAV files")
    parser.add_argument("--root", help="folder for the ARM Python, kept; a temporary one if absent")
    parser.add_argument(
        "--cpu",
        action="append",
        choices=PROCESSORS,
        help="processor, may be given several times; cortex-a53, cortex-a76 and max if absent",
    )
    parser.add_argument(
        "--source", help='where arm64 packages are, as "deb URL SUITE main"; as apt knows if absent'
    )
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.cpu = arguments.cpu or ["cortex-a53", "cortex-a76", "max"]
    return arguments


if __name__ == "__main__":
    main()
