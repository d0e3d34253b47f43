"""The transducer losses and other packages' on one machine: time, memory, gradient error.

    python benchmarks/rnnt_loss.py --from logits joint --python PEERS/bin/python 2> raw.jsonl
    python benchmarks/rnnt_loss.py --gradient-error --python PEERS/bin/python
    python benchmarks/rnnt_loss.py --from logits joint --picture docs/images/rnnt_loss.png

Forward and backward pass on the CPU, from logits or from the outputs of encoder and predictor.
Every measurement is a process of its own, in the first interpreter that has the implementation:
this one, then each `--python`. Memory is the peak above what is held once the inputs exist, the
compilation of the first call included, and needs Linux.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rnnt_loss_implementations import FLOAT64, IMPLEMENTATIONS, Implementation

UNITS = 640
SIZES = {
    "S1": {"batch": 4, "frames": 100, "labels": 30, "vocabulary": 1000, "units": UNITS},
    "S2": {"batch": 8, "frames": 200, "labels": 50, "vocabulary": 1000, "units": UNITS},
    "S3": {"batch": 16, "frames": 375, "labels": 60, "vocabulary": 1024, "units": UNITS},
}
# Float32 loses digits with the length of the lattice, whatever the vocabulary.
GRADIENT_ERROR_SIZES = {
    "small": {"batch": 2, "frames": 10, "labels": 6, "vocabulary": 30, "units": 16},
    "long": {"batch": 1, "frames": 3000, "labels": 200, "vocabulary": 16, "units": 16},
}
LONGEST = 900  # seconds that one measurement may take
PICTURE_SIZES = [(25, 8), (50, 15), (100, 30), (200, 50), (400, 100)]  # frames, labels


def main() -> None:
    arguments = _parse()
    pythons = [sys.executable, *arguments.python]
    sizes = {name: SIZES[name] for name in arguments.sizes}
    if arguments.picture:
        from rnnt_loss_picture import draw

        sizes = {
            f"T = {frames}, U = {labels}": {
                "batch": 4, "frames": frames, "labels": labels, "vocabulary": 1024, "units": UNITS,
            }
            for frames, labels in arguments.points
        }  # fmt: skip
    drawn = {}
    for family in arguments.families:
        chosen = [
            implementation
            for implementation in IMPLEMENTATIONS[family]
            if (not arguments.only or implementation.name in arguments.only)
            and (implementation.in_picture or not arguments.picture)
        ]
        print(f"\nFrom {family}:\n")
        if arguments.gradient_error:
            print_gradient_errors(family, chosen, pythons)
            continue
        drawn[family] = print_table(family, chosen, pythons, sizes, arguments.repeats)
    if arguments.picture and not arguments.gradient_error:
        draw(drawn, sizes, arguments.picture)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--from", dest="families", nargs="+", choices=list(IMPLEMENTATIONS),
                        default=["logits"], help="what the loss is computed from")  # fmt: skip
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=_names(), help=str(_names()))
    parser.add_argument("--repeats", type=int, default=5, help="warm runs, of which the median")
    parser.add_argument("--python", action="append", default=[], metavar="PATH",
                        help="another interpreter to look for implementations in")  # fmt: skip
    parser.add_argument("--gradient-error", action="store_true",
                        help="the largest absolute error against float64 instead")  # fmt: skip
    parser.add_argument("--picture", type=Path, help="draws time and memory over T x U instead")
    parser.add_argument("--points", nargs="+", default=PICTURE_SIZES, metavar="TxU",
                        type=lambda text: tuple(map(int, text.split("x"))),
                        help="frames and labels of the picture's points, as in 100x30")  # fmt: skip
    return parser.parse_args()


def _names() -> list[str]:
    listed = [one.name for family in IMPLEMENTATIONS.values() for one in family]
    return list(dict.fromkeys(listed))


def print_table(
    family: str,
    implementations: list[Implementation],
    pythons: list[str],
    sizes: dict[str, dict[str, int]],
    repeats: int,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Prints a row for each size and implementation, and returns what was measured."""
    print("| | implementation | warm ms | runs | first call s | extra MB | / logits | cost |")
    print("|---|---|---|---|---|---|---|---|")
    results = {}
    for size_name, size in sizes.items():
        megabytes = 4e-6 * size["batch"] * size["frames"] * (size["labels"] + 1)
        megabytes *= size["vocabulary"]
        reference = None
        for implementation in implementations:
            measured = measure(family, implementation, pythons, size, repeats)
            if "problem" in measured:
                row = f"{implementation.title} | {measured['problem']} | | | | |"
                print(f"| {size_name} | {row} |", flush=True)
                continue
            results[size_name, implementation.title] = measured
            costs = np.array(measured["costs"])
            reference = costs if reference is None else reference
            print(
                f"| {size_name} | {implementation.title_of_version(measured['version'])} "
                f"| {measured['milliseconds']:.1f} "
                f"| {measured['runs']} | {measured['first_seconds']:.2f} "
                f"| {measured['megabytes']:.0f} | {measured['megabytes'] / megabytes:.2f} "
                f"| {_difference(costs, reference):.0e} |",
                flush=True,
            )
    print("\ncost: the largest relative difference from the first row of that size")
    return results


def _difference(costs: np.ndarray, reference: np.ndarray) -> float:
    """Largest relative difference; of the sums where one has but the sum."""
    if costs.shape != reference.shape:
        costs, reference = costs.sum(), reference.sum()
    return float(np.max(np.abs(costs / reference - 1)))


def print_gradient_errors(
    family: str, implementations: list[Implementation], pythons: list[str]
) -> None:
    print(f"| implementation | {' | '.join(GRADIENT_ERROR_SIZES)} |")
    print("|---" * (1 + len(GRADIENT_ERROR_SIZES)) + "|")
    with tempfile.TemporaryDirectory() as folder:
        exact = {}
        for name, size in GRADIENT_ERROR_SIZES.items():
            path = Path(folder, f"{name}.npz")
            measured = measure(family, FLOAT64[family], pythons, size, 1, path)
            if "problem" in measured:
                sys.exit(f"Found no float64 gradient to compare with: {measured['problem']}")
            exact[name] = _load(path)
        for implementation in implementations:
            if implementation.approximate:  # their gradients are of something else
                continue
            cells, path = [], Path(folder, "gradients.npz")
            for name, size in GRADIENT_ERROR_SIZES.items():
                measured = measure(family, implementation, pythons, size, 1, path)
                if "problem" in measured:
                    cells.append(measured["problem"])
                    continue
                errors = [
                    np.max(np.abs(gradient.astype("float64") - true))
                    for gradient, true in zip(_load(path), exact[name], strict=True)
                ]
                cells.append(f"{max(errors):.1e}")
            print(f"| {implementation.title} | {' | '.join(cells)} |", flush=True)


def _load(path: Path) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def measure(
    family: str,
    implementation: Implementation,
    pythons: list[str],
    size: dict[str, int],
    repeats: int,
    gradients: Path | None = None,
) -> dict[str, Any]:
    """Runs `rnnt_loss_measure.py`; under "problem" is what kept it from measuring."""
    python = _find(implementation.imports, implementation.backend, tuple(pythons))
    if python is None:
        return {"problem": "not installed"}
    request = {
        "from": family,
        "adapter": implementation.adapter,
        "options": implementation.options,
        "distribution": implementation.distribution,
        "size": size,
        "repeats": repeats,
        "gradients": str(gradients) if gradients else None,
    }
    script = Path(__file__).with_name("rnnt_loss_measure.py")
    try:
        done = subprocess.run(
            [python, str(script), json.dumps(request)],
            env=_environment(implementation.backend),
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"not done after {LONGEST} s"}
    if done.returncode:
        errors = done.stderr.strip().splitlines() or [""]
        return {"problem": f"failed ({done.returncode}): {errors[-1][:80].replace('|', '/')}"}
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    record = {"name": implementation.name, "from": family, **size, **measured}
    print(json.dumps(record), file=sys.stderr, flush=True)
    return measured


@functools.cache
def _find(imports: str, backend: str, pythons: tuple[str, ...]) -> str | None:
    """The first interpreter in which the import succeeds."""
    for python in pythons:
        found = subprocess.run(
            [python, "-c", imports], env=_environment(backend), capture_output=True
        )
        if found.returncode == 0:
            return python
    return None


def _environment(backend: str) -> dict[str, str]:
    """All run on the CPU, and ours are those of this checkout."""
    checkout = str(Path(__file__).resolve().parents[1])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([checkout, os.environ.get("PYTHONPATH", "")]).rstrip(
            os.pathsep
        ),
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
    }


if __name__ == "__main__":
    main()
