"""The weights file of a preset: what the model computes with, and nothing of its training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import h5py

    from keras_contextnet.models.speech_model import SpeechModel


def save_preset_weights(model: SpeechModel, path: Path, half_precision: bool = False) -> None:
    """Writes a `.weights.h5` file without the optimizer's state, two thirds of a compiled model's.

    Args:
        model: whose weights.
        path: of the file.
        half_precision: bool. Whether matrices are stored in float16. What has fewer than two axes
            (biases, and batch norm's scales and averages, whose variances may be beyond float16)
            stays as it is. Keras casts to the model's own type when it loads the file.

    Raises:
        ValueError: for a weight that float16 cannot hold, because it is too large or not finite.
    """
    import h5py

    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        whole = Path(folder) / "whole.weights.h5"
        model.save_weights(whole)
        with h5py.File(whole) as old, h5py.File(path, "w") as new:
            _copy(old, new, half_precision)


def _copy(old: h5py.File, new: h5py.File, half_precision: bool) -> None:
    import h5py

    def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if name.split("/")[0] == "optimizer":
            return
        if isinstance(item, h5py.Dataset):
            weight = item[()]
            new.create_dataset(name, data=_halved(name, weight) if half_precision else weight)
        else:
            new.require_group(name)
        new[name].attrs.update(item.attrs)

    new.attrs.update(old.attrs)
    old.visititems(copy)


def _halved(name: str, weight: np.ndarray) -> np.ndarray:
    if weight.ndim < 2 or weight.dtype != np.float32:
        return weight
    limit = np.finfo(np.float16).max
    if not np.all(np.abs(weight) <= limit):
        raise ValueError(
            f"Expected weights of at most {limit:.0f} to store them in float16. Received: {name}, "
            f"whose largest is {np.max(np.abs(weight))}. Save them with half_precision=False."
        )
    return weight.astype(np.float16)
