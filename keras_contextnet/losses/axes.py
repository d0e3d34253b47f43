"""Checks of ranks and extents of arguments that share axes."""

from typing import Any

import keras


def check_axes(**tensors: tuple[Any, tuple[str, ...]]) -> None:
    """Raises ValueError unless ranks are right and axes of one name have one extent.

    Args:
        tensors: For each argument its name, the tensor and the names of its axes. "U + 1" is an
            axis by one longer than "U". Extents that are not known while tracing fit anything.
    """
    first: dict[str, tuple[str, int]] = {}
    for name, (value, axes) in tensors.items():
        wanted = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        if len(value.shape) != len(axes):
            raise ValueError(
                f"`{name}` has to be of rank {len(axes)}, {wanted}. "
                f"Received: {name}.shape={tuple(value.shape)}"
            )
        for axis, extent in zip(axes, value.shape, strict=True):
            if extent is None:
                continue
            symbol, _, more = axis.partition(" + ")
            extent -= int(more or 0)
            other, expected = first.setdefault(symbol, (name, extent))
            if extent != expected:
                raise ValueError(
                    f"`{name}` has to be {wanted}, of the same {symbol} as `{other}`. Received: "
                    f"{name}.shape={tuple(value.shape)}, "
                    f"{other}.shape={tuple(tensors[other][0].shape)}"
                )


def check_float(**tensors: Any) -> None:
    """Raises ValueError unless all hold floats."""
    for name, value in tensors.items():
        if not keras.backend.is_float_dtype(value.dtype):
            raise ValueError(f"`{name}` has to hold floats. Received: dtype={value.dtype}")
