"""What `import keras_contextnet` costs: the median over fresh interpreters.

python benchmarks/import_time.py
"""

import os
import statistics
import subprocess
import sys

RUNS = 7
PROGRAM = """
import time
{before}
started = time.perf_counter()
{timed}
print(time.perf_counter() - started)
"""
MEASUREMENTS = {
    "import keras_contextnet": ("", "import keras_contextnet"),
    "import keras_contextnet.litert": ("", "import keras_contextnet.litert"),
    "import keras_contextnet, over import keras": ("import keras", "import keras_contextnet"),
    "every part of it, over import keras": ("import keras", "from keras_contextnet import *"),
    "import keras": ("", "import keras"),
}


def main() -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name, (before, timed) in MEASUREMENTS.items():
        program = PROGRAM.format(before=before, timed=timed)
        seconds = [
            float(subprocess.check_output([sys.executable, "-c", program], env=environment))
            for _ in range(RUNS)
        ]
        median, least, most = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{name}: {median:.3f} s (median of {RUNS}; {least:.3f} to {most:.3f})")


if __name__ == "__main__":
    main()
