"""What `import keras_contextnet` costs over `import keras`: medians of alternating fresh starts.

python benchmarks/import_time.py
"""

import os
import statistics
import subprocess
import sys
import time

RUNS = 7


def seconds(statement: str) -> float:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    return time.perf_counter() - started


def main() -> None:
    times: dict[str, list[float]] = {"import keras": [], "import keras_contextnet": []}
    for _ in range(RUNS):
        for statement, measured in times.items():
            measured.append(seconds(statement))
    medians = {statement: statistics.median(measured) for statement, measured in times.items()}
    for statement, median in medians.items():
        print(f"{statement}: {median:.2f} s (median of {RUNS})")
    print(f"difference: {medians['import keras_contextnet'] - medians['import keras']:.2f} s")


if __name__ == "__main__":
    main()
