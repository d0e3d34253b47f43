"""What `import keras_contextnet` costs after `import keras`: the median over fresh interpreters.

python benchmarks/import_time.py
"""

import os
import statistics
import subprocess
import sys

RUNS = 7
PROGRAM = """
import time
import keras
started = time.perf_counter()
import keras_contextnet
print(time.perf_counter() - started)
"""


def main() -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", PROGRAM], env=environment))
        for _ in range(RUNS)
    ]
    print(f"import keras_contextnet, over import keras: {statistics.median(seconds):.3f} s")
    print(f"(median of {RUNS}; {min(seconds):.3f} to {max(seconds):.3f})")


if __name__ == "__main__":
    main()
