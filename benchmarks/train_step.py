"""One optimiser step of a preset: time to build, first step, warm step and peak memory.

    python benchmarks/train_step.py --preset small --batch 4 --seconds 10 --tokens 30

With `--peer "COMMAND"` the command, which should measure another package in the same way, runs
before and after, so that both figures come from one machine in one state.
"""

import argparse
import os
import resource
import statistics
import subprocess
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch", type=int, default=4, help="utterances")
    parser.add_argument("--seconds", type=float, default=10, help="length of an utterance")
    parser.add_argument("--tokens", type=int, default=30, help="tokens of an utterance")
    parser.add_argument("--steps", type=int, default=9, help="warm steps, of which the median")
    parser.add_argument("--peer", help="shell command that measures another package")
    arguments = parser.parse_args()
    if arguments.peer:
        subprocess.run(arguments.peer, shell=True, check=True)
    measure(arguments)
    if arguments.peer:
        subprocess.run(arguments.peer, shell=True, check=True)


def measure(arguments: argparse.Namespace) -> None:
    import keras
    import numpy as np

    import keras_contextnet as kc

    started = time.perf_counter()
    model = kc.ContextNet.from_preset(arguments.preset, load_weights=False)
    built = time.perf_counter() - started
    model.compile(optimizer=keras.optimizers.Adam(1e-4))

    rng = np.random.default_rng(0)
    batch, samples = arguments.batch, int(16000 * arguments.seconds)
    x = {
        "audio": (0.1 * rng.standard_normal((batch, samples))).astype("float32"),
        "audio_length": np.full(batch, samples, "int32"),
    }
    y = {
        "tokens": rng.integers(0, 1000, (batch, arguments.tokens)).astype("int32"),
        "token_length": np.full(batch, arguments.tokens, "int32"),
    }
    times = []
    for _ in range(1 + arguments.steps):
        started = time.perf_counter()
        model.train_on_batch(x, y)
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"keras-contextnet {arguments.preset} ({keras.backend.backend()}): build {built:.2f} s, "
        f"first step {times[0]:.1f} s, warm step {statistics.median(times[1:]):.2f} s "
        f"(median of {arguments.steps}), peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
