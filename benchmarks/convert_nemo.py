"""Time and memory to convert a NeMo checkpoint of the size of a published one.

    python benchmarks/convert_nemo.py [--width 256] [--repeats 5]

Writes a file of random weights in NeMo's format, then, in a new process each time, loads it with
`ContextNet.from_nemo` and saves it as a preset. Imports are part of it.
"""

import argparse
import statistics
import string
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "interop"))

CONVERT = """
import resource, sys, time
start = time.perf_counter()
import keras_contextnet as kc
imported = time.perf_counter()
model = kc.ContextNet.from_nemo(sys.argv[1])
loaded = time.perf_counter()
model.save_to_preset(sys.argv[2])
saved = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(imported - start, loaded - imported, saved - loaded, peak, model.count_params())
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256, help="256, 512 or 1024 channels")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    from nemo_writer import published_nemo

    # As many tokens as the published English models have, one character each.
    vocabulary = [chr(code) for code in range(0x4E00, 0x4E00 + 1024 - 28)]
    vocabulary += [*string.ascii_lowercase, " ", "'"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "published.nemo"
        path.write_bytes(published_nemo(arguments.width, vocabulary))
        print(f"file: {path.stat().st_size / 1e6:.1f} MB")
        rows = []
        for repeat in range(arguments.repeats):
            command = [sys.executable, "-c", CONVERT, str(path), f"{folder}/preset_{repeat}"]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append([float(value) for value in output.split()])
    columns = zip(*rows, strict=True)
    imports, load, save, peak, parameters = map(statistics.median, columns)
    total = statistics.median(sum(row[:3]) for row in rows)
    print(f"parameters: {parameters / 1e6:.2f} M")
    print(f"import {imports:.1f} s, load {load:.1f} s, save {save:.1f} s; in all {total:.1f} s")
    print(f"peak memory: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
