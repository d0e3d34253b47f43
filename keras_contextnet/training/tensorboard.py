"""A run's numbers for TensorBoard."""

from __future__ import annotations

from pathlib import Path

import keras


def tensorboard_callback(folder: str | Path) -> keras.callbacks.Callback:
    """Returns a callback that writes what every epoch gave as TensorBoard reads it.

    Args:
        folder: where to; `tensorboard --logdir` takes it.

    Raises:
        ImportError: without tensorboard (extra `tensorboard`).
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Writing for TensorBoard needs tensorboard. Install it with "
            '`pip install "keras-contextnet[tensorboard]"`.'
        ) from error
    return keras.callbacks.TensorBoard(str(folder), write_graph=False, update_freq="epoch")
