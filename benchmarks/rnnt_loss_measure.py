"""One measurement of `rnnt_loss.py`: one implementation, one size, in a process of its own.

It runs in the interpreter that has the implementation, so it needs NumPy and nothing else.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

TINY = {"batch": 2, "frames": 4, "labels": 3, "vocabulary": 8, "units": 4}
# Slow implementations are not repeated past this many seconds.
LONGEST = 180.0


def main() -> None:
    request = json.loads(sys.argv[1])
    module, function = request["adapter"].split(":")
    adapter = getattr(importlib.import_module(module), function)
    make_inputs = {"logits": logits_inputs, "joint": joint_inputs}[request["from"]]
    # Threads, allocators and libraries are set up once, and count for nobody.
    fresh, step = adapter(make_inputs(TINY), **request["options"])
    step(fresh())
    inputs = make_inputs(request["size"])
    fresh, step = adapter(inputs, **request["options"])
    lengths = inputs["frame_length"], inputs["label_length"]
    padded = inputs["logits"].shape if "logits" in inputs else None
    del inputs

    before = _start_of_peak()
    times, result = [], None
    while len(times) <= request["repeats"] and (len(times) < 2 or sum(times) < LONGEST):
        arguments = fresh()
        result = None  # or its gradients would lie beside those of this call
        started = time.perf_counter()
        result = step(arguments)
        times.append(time.perf_counter() - started)
        del arguments
    costs, gradients = result
    measured = {
        "milliseconds": 1000 * statistics.median(times[1:]),
        "runs": len(times) - 1,
        "first_seconds": times[0],
        "megabytes": max(0, _status("VmHWM") - before) / 1e6,
        "costs": np.ravel(np.asarray(costs)).astype(float).tolist(),
        "version": _version(request["distribution"]),
    }
    if request["gradients"]:
        arrays = [_padded(np.asarray(gradient), padded, *lengths) for gradient in gradients]
        np.savez(request["gradients"], *arrays)
    print(json.dumps(measured))


def logits_inputs(size: dict[str, int]) -> dict[str, np.ndarray]:
    """Random logits (batch, T, U + 1, vocabulary), labels and lengths. The blank is 0."""
    rng = np.random.default_rng(0)
    shape = size["batch"], size["frames"], size["labels"] + 1, size["vocabulary"]
    logits = rng.standard_normal(shape, dtype="float32")
    return {"logits": logits, **_labels_and_lengths(size, rng)}


def joint_inputs(size: dict[str, int]) -> dict[str, np.ndarray | list[np.ndarray]]:
    """Random encoder and predictor outputs, and the six weights of a joint network."""
    rng = np.random.default_rng(0)
    batch, units, vocabulary = size["batch"], size["units"], size["vocabulary"]

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return rng.standard_normal(shape, dtype="float32") * np.float32(scale)

    weights = []
    for outputs in (units, units, vocabulary):
        weights += [normal(units, outputs, scale=units**-0.5), normal(outputs, scale=0.1)]
    return {
        "encoder_output": normal(batch, size["frames"], units),
        "predictor_output": normal(batch, size["labels"] + 1, units),
        "weights": weights,  # kernel and bias of encoder, predictor and output projection
        # Kernels of the encoder and of the predictor, for the simple loss of the pruned ones.
        "simple_weights": [normal(units, vocabulary, scale=units**-0.5) for _ in range(2)],
        **_labels_and_lengths(size, rng),
    }


def _labels_and_lengths(size: dict[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    def lengths(longest: int, share: float) -> np.ndarray:
        return np.linspace(longest, share * longest, size["batch"])[::-1].astype("int32")

    labels = rng.integers(1, size["vocabulary"], (size["batch"], size["labels"]), dtype="int32")
    return {
        "labels": labels,
        "frame_length": lengths(size["frames"], 0.7),
        "label_length": lengths(size["labels"], 0.6),
    }


def _padded(
    gradient: np.ndarray,
    shape: tuple[int, ...] | None,
    frame_length: np.ndarray,
    label_length: np.ndarray,
) -> np.ndarray:
    """Gradients of logits that were packed to (cells, vocabulary), in their padded places."""
    if shape is None or gradient.ndim != 2:
        return gradient
    padded, start = np.zeros(shape, gradient.dtype), 0
    for row, frames, columns in zip(padded, frame_length, label_length + 1, strict=True):
        cells = gradient[start : start + frames * columns]
        row[:frames, :columns] = cells.reshape(frames, columns, -1)
        start += frames * columns
    return padded


def _start_of_peak() -> int:
    """Starts the peak of the resident memory anew, and returns the memory held now, in bytes."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free but held would hide what is needed
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise KeyError(name)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:  # a source tree on the path
        return ""


if __name__ == "__main__":
    main()
