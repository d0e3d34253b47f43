"""Transcribes ten utterances with small_en, and again with the LiteRT file that it exports to.

    pip install ".[litert]"
    python examples/quickstart.py

Other recordings are given after `--audio`.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's messages at start-up

from rich.console import Console
from rich.table import Table

import keras_contextnet as kc

MANIFEST = Path(__file__).parent / "audio" / "manifest.jsonl"


def transcribe_each(transcribe, waveforms):
    """Returns the texts, and the seconds that one second of audio took."""
    transcribe(waveforms[0])  # what is prepared once does not count
    started = time.perf_counter()
    texts = [transcribe(waveform) for waveform in waveforms]
    seconds = sum(len(waveform) for waveform in waveforms) / 16000
    return texts, (time.perf_counter() - started) / seconds


def main():
    """Runs the whole path from recordings to a file for phones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="runs/quickstart", type=Path)
    parser.add_argument("--audio", nargs="+", type=Path, default=[], metavar="FILE")
    arguments = parser.parse_args()
    console = Console()

    utterances = [] if arguments.audio else kc.data.read_manifest(MANIFEST)
    files = arguments.audio or [utterance.audio for utterance in utterances]
    waveforms = [kc.data.load_audio(file) for file in files]

    model = kc.ContextNet.from_preset("small_en")
    exported = arguments.folder / "asr.tflite"
    exported.parent.mkdir(parents=True, exist_ok=True)
    console.print(f"Exporting {model.count_params():,} parameters to {exported}")
    model.export(exported, format="litert", quantization="float16")
    transcriber = kc.litert.Transcriber(exported)  # by NumPy and the LiteRT runtime alone

    runs = {
        "Keras": transcribe_each(model.transcribe, waveforms),
        "LiteRT": transcribe_each(
            lambda waveform: transcriber.transcribe(waveform).text, waveforms
        ),
    }
    references = [utterance.text for utterance in utterances]
    columns = {"Reference": references} if references else {"File": [str(file) for file in files]}
    columns.update({name: texts for name, (texts, _) in runs.items()})
    table = Table(*columns, show_lines=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    console.print(table)

    for name, (texts, real_time_factor) in runs.items():
        line = f"{name}: real-time factor {real_time_factor:.4f}"
        if references:
            errors = kc.metrics.word_errors(references, texts)
            line += f", WER {errors.rate:.1%} of {errors.length} words"
        console.print(line)
    console.print(f"LiteRT file: {exported}, {exported.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
