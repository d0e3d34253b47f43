"""The picture of `rnnt_loss.py`: time and memory over the size of the lattice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def draw(
    families: dict[str, dict[tuple[str, str], dict[str, Any]]],
    sizes: dict[str, dict[str, int]],
    path: Path,
) -> None:
    """Draws a row of two panels for each family.

    Args:
        families: for "logits" or "joint", what was measured by (size, title of implementation).
        sizes: the sizes by name.
        path: file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(
        len(families), 2, figsize=(11, 4.5 * len(families)), squeeze=False, layout="constrained"
    )
    for (family, measured), (time_axes, memory_axes) in zip(families.items(), rows, strict=True):
        for title in dict.fromkeys(title for _, title in measured):
            names = [name for name in sizes if (name, title) in measured]
            cells = [sizes[name]["frames"] * sizes[name]["labels"] for name in names]
            times = [measured[name, title]["milliseconds"] for name in names]
            # Less than a megabyte is noise, and 0 has no place on a logarithmic axis.
            memory = [max(1.0, measured[name, title]["megabytes"]) for name in names]
            style = "o-" if title.startswith("keras-contextnet") else "s--"
            time_axes.plot(cells, times, style, label=title)
            memory_axes.plot(cells, memory, style, label=title)
        for axes, label in ((time_axes, "milliseconds"), (memory_axes, "extra MB")):
            axes.set(xscale="log", yscale="log", xlabel="T x U", ylabel=label)
            axes.set_title(f"from {family}, forward and backward")
            axes.grid(which="both", alpha=0.25)
        memory_axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=120, format=path.suffix[1:])
    os.replace(temporary, path)
