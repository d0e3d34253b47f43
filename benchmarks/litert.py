"""Measures a LiteRT file: size, conversion time, operators, real-time factor, memory.

    python benchmarks/litert.py small
    python benchmarks/litert.py my_preset_folder --audio speech.wav --tokens-per-second 0

Without --audio it transcribes 10 s of noise. A preset without weights emits --tokens-per-second of
them: the blank's bias is chosen for that, since each token costs one step of the predictor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    arguments = _parse()
    if arguments.run:
        print(json.dumps(run(arguments.preset, arguments.audio, arguments.threads)))
        return
    import keras

    import keras_contextnet
    from keras_contextnet.data import load_audio
    from keras_contextnet.export import litert_operators

    keras.utils.set_random_seed(0)
    model = keras_contextnet.ContextNet.from_preset(arguments.preset)
    waveform = load_audio(arguments.audio) if arguments.audio else synthetic_audio()
    if arguments.preset in model.presets:
        set_token_rate(model, waveform, arguments.tokens_per_second)
    with tempfile.TemporaryDirectory() as folder:
        path, audio = Path(folder) / "asr.tflite", Path(folder) / "audio.npy"
        np.save(audio, waveform)
        wall, cpu = time.perf_counter(), time.process_time()
        model.export(path, format="litert", quantization=arguments.quantization)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"size: {path.stat().st_size / 1e6:.1f} MB")
        print(f"conversion: {wall:.1f} s ({cpu:.1f} s of processor time)")
        operators = litert_operators(path)
        print(f"operators: {', '.join(f'{count} {name}' for name, count in operators.items())}")
        for threads in arguments.threads:
            measured = _in_new_process(path, audio, threads)
            print(
                f"{threads} thread(s), {measured['seconds']:.1f} s of audio, "
                f"{measured['tokens']} tokens: real-time factor {measured['rtf']:.4f} "
                f"(processor time {measured['cpu_rtf']:.4f}), "
                f"peak memory {measured['peak_mb']:.0f} MB over Python's and NumPy's"
            )


def synthetic_audio() -> np.ndarray:
    """10 s of noise whose loudness changes every 100 ms."""
    rng = np.random.default_rng(0)
    loudness = np.repeat(10.0 ** rng.uniform(-4, -1, size=100), 1600)
    return (loudness * rng.normal(size=160000)).astype(np.float32)


def set_token_rate(model, waveform: np.ndarray, tokens_per_second: float) -> None:
    """Finds the bias of the blank with which random weights emit about so many tokens."""
    import tensorflow as tf
    from export_agreement import spread_logits

    from keras_contextnet.decoding import greedy_decode

    spread_logits(model, waveform)
    output = model.predict_on_batch({"audio": waveform[None]})
    layer, wanted = model.joiner.output_projection, tokens_per_second * len(waveform) / 16000
    decode = tf.function(greedy_decode, autograph=False)
    counts = {}  # bias to number of tokens, which grows in jumps
    for bias in np.linspace(4.0, 0.0, 41):
        layer.bias.assign(np.eye(model.joiner.vocabulary_size)[model.blank_id] * bias)
        frames = (output["encoder_output"], output["frame_length"])
        _, count, _ = decode(*frames, model.predictor, model.joiner)
        counts[bias] = int(count[0])
        if counts[bias] > wanted:
            break
    bias = min(counts, key=lambda bias: abs(counts[bias] - wanted))
    layer.bias.assign(np.eye(model.joiner.vocabulary_size)[model.blank_id] * bias)


def run(path: str, audio: str, threads: list[int]) -> dict:
    """Transcribes with ai-edge-litert alone, so that memory is the runtime's."""
    from ai_edge_litert.interpreter import Interpreter

    before = _peak_mb()
    waveform = np.load(audio)[None]
    inputs = {"audio": waveform, "audio_length": np.array([waveform.shape[1]], np.int32)}
    interpreter = Interpreter(path, num_threads=threads[0])
    transcribe = interpreter.get_signature_runner("transcribe")
    transcribe(**inputs)
    walls, cpus = [], []
    for _ in range(9):
        wall, cpu = time.perf_counter(), time.process_time()
        outputs = transcribe(**inputs)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    seconds = waveform.shape[1] / 16000
    return {
        "seconds": seconds,
        "tokens": int(outputs["token_length"][0]),
        "rtf": statistics.median(walls) / seconds,
        "cpu_rtf": statistics.median(cpus) / seconds,
        "peak_mb": _peak_mb() - before,
    }


def _in_new_process(path: Path, audio: Path, threads: int) -> dict:
    command = [sys.executable, __file__, str(path), "--run", "--audio", str(audio)]
    done = subprocess.run(
        [*command, "--threads", str(threads)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _peak_mb() -> float:
    """The most memory held so far, by Linux's count: getrusage's starts with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", help="a preset's name or folder")
    parser.add_argument("--audio", help="an audio file")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--quantization", help="of `ContextNet.export`")
    parser.add_argument("--tokens-per-second", type=float, default=4.0)
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
