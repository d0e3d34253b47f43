"""What transcribing with a LiteRT file costs: time and memory, in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Cost:
    """The cost of one recording.

    Attributes:
        seconds: float, of audio.
        tokens: int, how many were found; each costs a step of the predictor.
        real_time_factor: float, time per time of audio; the median of the runs.
        peak_memory: float, megabytes over those of Python and NumPy, the file's own included; None
            where the system does not tell.
    """

    seconds: float
    tokens: int
    real_time_factor: float
    peak_memory: float | None


def measure(
    path: str | os.PathLike[str],
    waveform: np.ndarray,
    sample_rate: int = 16000,
    num_threads: int = 1,
    runs: int = 5,
) -> Cost:
    """Runs the signature `transcribe` of a file several times, in a new process.

    Args:
        path: the `.tflite` file.
        waveform: float32 (samples,).
        sample_rate: int, Hz.
        num_threads: int, threads of the interpreter.
        runs: int, how many are timed, after one that is not.

    Returns:
        A `Cost`.

    Raises:
        RuntimeError: where the file cannot be run; the message is the process's.

    Example:

    ```python
    import numpy as np

    from keras_contextnet.litert.measure import measure

    def is_fast_enough(path):
        return measure(path, np.zeros(160000, "float32")).real_time_factor < 0.1
    ```
    """
    with tempfile.TemporaryDirectory() as folder:
        audio = Path(folder) / "audio.npy"
        np.save(audio, np.asarray(waveform, np.float32))
        arguments = [os.fspath(path), str(audio), str(num_threads), str(runs)]
        # Not as a module: that would import the package, and its memory would count.
        done = subprocess.run(
            [sys.executable, __file__, *arguments], capture_output=True, text=True
        )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise RuntimeError(f"Expected a file that runs. Received: {path}: {reason[0]}")
    result = json.loads(done.stdout.splitlines()[-1])
    seconds = len(waveform) / sample_rate
    return Cost(
        seconds=seconds,
        tokens=result["tokens"],
        real_time_factor=result["time"] / seconds,
        peak_memory=result["peak_memory"],
    )


def _run(path: str, audio: str, num_threads: int, runs: int) -> dict[str, float | int | None]:
    from ai_edge_litert.interpreter import Interpreter

    before = _peak_memory()
    waveform = np.load(audio)[None]
    inputs = {"audio": waveform, "audio_length": np.array([waveform.shape[1]], np.int32)}
    transcribe = Interpreter(path, num_threads=num_threads).get_signature_runner("transcribe")
    outputs = transcribe(**inputs)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        transcribe(**inputs)
        times.append(time.perf_counter() - start)
    after = _peak_memory()
    return {
        "tokens": int(outputs["token_length"][0]),
        "time": statistics.median(times),
        "peak_memory": None if before is None or after is None else after - before,
    }


def _peak_memory() -> float | None:
    """Megabytes held at most so far, by Linux's count: getrusage's starts with the parent's."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))))
