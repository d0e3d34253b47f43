"""The weights file of a preset: what the model computes with, and nothing of its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_contextnet.atomic_write import new_file

if TYPE_CHECKING:
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
    with _without_optimizer(model):
        model.save_weights(path)
    if half_precision:
        _halve_precision(path)


def load_preset_weights(model: SpeechModel, path: Path) -> None:
    """Reads such a file, into a compiled model too, whose optimizer stays as it is."""
    with _without_optimizer(model):
        model.load_weights(path)


@contextmanager
def _without_optimizer(model: SpeechModel) -> Iterator[None]:
    optimizer = getattr(model, "optimizer", None)
    model.optimizer = None
    try:
        yield
    finally:
        model.optimizer = optimizer


def _halve_precision(path: Path) -> None:
    import h5py

    with h5py.File(path) as old, new_file(path) as part, h5py.File(part, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                new.create_dataset(name, data=_halved(name, item[()]))
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
