"""Measures LiteRT files: size, conversion time, operators, real-time factor, memory.

    python benchmarks/litert.py small --quantization none float16 dynamic_int8 int8
    python benchmarks/litert.py my_preset_folder --audio speech.wav

Without --audio it transcribes 10 s of noise. A preset without weights emits --tokens-per-second of
them: the blank's bias is chosen for that, since each token costs one step of the predictor. Files
run --rounds times in turn, so that a slow spell of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    arguments = _parse()
    import keras

    import keras_contextnet
    from keras_contextnet.data import load_audio
    from keras_contextnet.export import litert_operators
    from keras_contextnet.models.paper_presets import PRESETS

    keras.utils.set_random_seed(0)
    model = keras_contextnet.ContextNet.from_preset(
        arguments.preset, beam_width=arguments.beam_width
    )
    waveform = load_audio(arguments.audio) if arguments.audio else synthetic_audio()
    if arguments.preset in PRESETS:
        set_token_rate(model, waveform, arguments.tokens_per_second)
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for kind in arguments.quantization:
            paths[kind] = Path(folder) / f"{kind}.tflite"
            wall, cpu = time.perf_counter(), time.process_time()
            export(model, paths[kind], kind, waveform)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(
                f"{kind}: {paths[kind].stat().st_size / 1e6:.2f} MB, converted in {wall:.1f} s "
                f"({cpu:.1f} s of processor time)",
                flush=True,
            )
        operators = litert_operators(paths[arguments.quantization[0]])
        print(f"operators: {', '.join(f'{count} {name}' for name, count in operators.items())}")
        for threads in arguments.threads:
            compare(paths, waveform, threads, arguments.rounds)


def export(model, path: Path, kind: str, waveform: np.ndarray) -> None:
    quantization = None if kind == "none" else kind
    calibration = [waveform] if kind == "int8" else None
    model.export(path, format="litert", quantization=quantization, calibration=calibration)


def compare(paths: dict[str, Path], waveform: np.ndarray, threads: int, rounds: int) -> None:
    """Prints the median cost of each file; all run once a round."""
    from keras_contextnet.litert.measure import measure

    costs = {kind: [] for kind in paths}
    for _ in range(rounds):
        for kind, path in paths.items():
            costs[kind].append(measure(path, waveform, num_threads=threads))
    for kind, measured in costs.items():
        factor = statistics.median(cost.real_time_factor for cost in measured)
        megabytes = paths[kind].stat().st_size / 1e6
        print(
            f"{threads} thread(s), {kind}: {measured[0].seconds:.1f} s of audio, "
            f"{measured[0].tokens} tokens: real-time factor {factor:.4f}, peak memory "
            f"{measured[0].peak_memory - megabytes:.0f} MB over the file's size",
            flush=True,
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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", help="a preset's name or folder")
    parser.add_argument("--audio", help="an audio file")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument(
        "--quantization",
        nargs="+",
        default=["none"],
        choices=["none", "float16", "dynamic_int8", "int8"],
        help="of `ContextNet.export`",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beam-width", type=int, default=1)
    parser.add_argument("--tokens-per-second", type=float, default=4.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
