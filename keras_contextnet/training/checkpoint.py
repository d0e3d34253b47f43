"""Checkpoints: all variables of a training run in files that are whole or not there."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_contextnet.atomic_write import new_file

STATE = "state"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is of another model."""


class CheckpointFolder:
    """The last checkpoints of a run, one file each, named after the number of steps.

    A file is a NumPy archive of the variables in order, with a JSON text of everything else. It is
    written under another name and moved into place once it is on the disk, and it carries
    checksums, so that a damaged one is noticed and the one before it is read instead.

    Args:
        folder: where the files are; made when the first is saved.
        keep: int. How many files stay.

    Example:

    ```python
    import keras
    from keras_contextnet.training.checkpoint import CheckpointFolder

    weight = keras.Variable([1.0, 2.0])
    checkpoints = CheckpointFolder("runs/checkpoint_example")
    checkpoints.save(100, [weight], {"epoch": 3})
    weight.assign([0.0, 0.0])
    state, problems = checkpoints.restore([weight])
    print(state, weight.numpy())  # {'epoch': 3} [1. 2.]
    ```
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def paths(self) -> list[Path]:
        """The files, the newest first."""
        return sorted(self.folder.glob("step-*.npz"), reverse=True)

    def save(self, step: int, variables: Sequence[keras.Variable], state: dict[str, Any]) -> None:
        """Writes a checkpoint and removes those that are too old.

        Args:
            step: int, steps so far.
            variables: what to save.
            state: whatever else has to be known again; what JSON can hold.

        Raises:
            OSError: if it cannot be written; those before stay as they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {str(index): _to_array(variable) for index, variable in enumerate(variables)}
        arrays[STATE] = np.frombuffer(json.dumps(state).encode("utf-8"), np.uint8)
        path = self.folder / f"step-{step:010d}.npz"
        with new_file(path) as new, open(new, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            # What is moved into place has to be on the disk before its name is.
            os.fsync(file.fileno())
        # Of a run that was set back, files of later steps may be left.
        later = [old for old in self.paths() if old > path]
        for old in later + [old for old in self.paths() if old < path][self.keep - 1 :]:
            old.unlink(missing_ok=True)

    def restore(
        self, variables: Sequence[keras.Variable]
    ) -> tuple[dict[str, Any] | None, list[str]]:
        """Gives variables the values of the newest checkpoint that can be read.

        Args:
            variables: those that were saved, in the same order.

        Returns:
            The `state` that was saved, None if there is no checkpoint; and a line on each newer
            checkpoint that is damaged.

        Raises:
            CheckpointError: if every checkpoint is damaged, or they are of other variables.
        """
        problems = []
        for path in self.paths():
            try:
                arrays = _read(path)
            except CheckpointError as error:
                problems.append(str(error))
                continue
            state = json.loads(arrays.pop(STATE).tobytes().decode("utf-8"))
            _check_shapes(path, arrays, variables)
            for index, variable in enumerate(variables):
                variable.assign(_from_array(arrays[str(index)], variable))
            return state, problems
        if problems:
            raise CheckpointError(
                f"{' '.join(problems)} Remove {self.folder} to begin the run anew."
            )
        return None, []

    def remove_remains(self) -> None:
        """Removes what was being written when a process was killed."""
        for path in self.folder.glob(".step-*"):
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        # Reading a member to its end compares its checksum.
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        arrays[STATE]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"Expected a checkpoint that can be read. Received: {path}, which is damaged ({error})."
        ) from error
    return arrays


def _check_shapes(path: Path, arrays: dict[str, Any], variables: Sequence[keras.Variable]) -> None:
    received = [tuple(arrays[str(index)].shape) for index in range(len(arrays))]
    expected = [tuple(variable.shape) for variable in variables]
    if received == expected:
        return
    differences = [
        f"{variable.path} is {shape}, was {old}"
        for variable, shape, old in zip(variables, expected, received, strict=False)
        if shape != old
    ]
    first = differences[0] if differences else f"{len(received)} variables instead"
    raise CheckpointError(
        f"Expected a checkpoint of this model and optimizer, {len(expected)} variables. Received: "
        f"{path}, of another: {first}. Train with the options that the run began with, or into "
        "another folder."
    )


def _to_array(variable: keras.Variable) -> np.ndarray:
    array = np.asarray(keras.ops.convert_to_numpy(variable))
    # NumPy's files know no bfloat16.
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array


def _from_array(array: np.ndarray, variable: keras.Variable) -> np.ndarray:
    if keras.backend.standardize_dtype(variable.dtype) == "bfloat16":
        import ml_dtypes

        return array.view(ml_dtypes.bfloat16)
    return array
