"""One optimiser step of a preset: time to build, first step, warm step and peak memory.

    python benchmarks/train_step.py --preset small --batch 4 --seconds 10 --tokens 30

With `--peer "COMMAND"` the command, which should measure another package in the same way, runs
before and after, so that both figures come from one machine in one state. `--part encoder` takes
features instead of audio and a sum of squares instead of the loss, as `train_step_torch.py` does.
"""

import argparse
import os
import resource
import statistics
import subprocess
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch", type=int, default=4, help="utterances")
    parser.add_argument("--seconds", type=float, default=10, help="length of an utterance")
    parser.add_argument("--tokens", type=int, default=30, help="tokens of an utterance")
    parser.add_argument("--steps", type=int, default=9, help="warm steps, of which the median")
    parser.add_argument("--part", choices=["model", "encoder"], default="model")
    parser.add_argument(
        "--bfloat16-products", action="store_true", help="layers.set_product_dtype('bfloat16')"
    )
    parser.add_argument("--peer", help="shell command that measures another package")
    arguments = parser.parse_args()
    if arguments.peer:
        subprocess.run(arguments.peer, shell=True, check=True)
    measure(arguments)
    if arguments.peer:
        subprocess.run(arguments.peer, shell=True, check=True)


def measure(arguments: argparse.Namespace) -> None:
    import keras

    import keras_contextnet as kc

    kc.layers.set_product_dtype("bfloat16" if arguments.bfloat16_products else None)
    started = time.perf_counter()
    model = kc.ContextNet.from_preset(arguments.preset, load_weights=False)
    if arguments.part == "encoder":
        features = keras.Input((None, model.encoder.num_features))
        model = keras.Model(features, model.encoder(features))
    built = time.perf_counter() - started
    loss = "mse" if arguments.part == "encoder" else None
    model.compile(kc.optimizers.FusedAdam(1e-4), loss)

    batch = make_batch(model, arguments)
    times = []
    for _ in range(1 + arguments.steps):
        started = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - started)
    warm = statistics.median(times[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"keras-contextnet {arguments.preset}, {arguments.part} ({keras.backend.backend()}): "
        f"build {built:.2f} s, first step {times[0]:.1f} s, warm step {warm:.2f} s (median of "
        f"{arguments.steps}), {arguments.batch * arguments.seconds / warm:.0f} seconds of audio a "
        f"second, peak memory {peak:.0f} MB"
    )


def make_batch(model: Any, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Makes random inputs and targets of the size that was asked for."""
    import numpy as np

    rng = np.random.default_rng(0)
    batch = arguments.batch
    if arguments.part == "encoder":
        frames = int(100 * arguments.seconds)
        x = rng.standard_normal((batch, frames, model.input_shape[-1])).astype("float32")
        return x, np.zeros(model.compute_output_shape(x.shape), "float32")
    samples = int(16000 * arguments.seconds)
    x = {
        "audio": (0.1 * rng.standard_normal((batch, samples))).astype("float32"),
        "audio_length": np.full(batch, samples, "int32"),
    }
    y = {
        "tokens": rng.integers(0, 1000, (batch, arguments.tokens)).astype("int32"),
        "token_length": np.full(batch, arguments.tokens, "int32"),
    }
    return x, y


if __name__ == "__main__":
    main()
