"""Which operators a LiteRT file is made of."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from keras_contextnet.export.litert_model import operators, read_model


def litert_operators(path: str | os.PathLike[str]) -> dict[str, int]:
    """Counts the operators of a `.tflite` file, those inside loops and branches included.

    Args:
        path: the file.

    Returns:
        A dict of operator names, most frequent first, to their numbers. Built-in operators have the
        names of TFLite's schema (`FULLY_CONNECTED`); a custom one is `CUSTOM:` and its own name,
        such as `CUSTOM:FlexStridedSlice`.

    Example:

    ```python
    from keras_contextnet.export import litert_operators

    def needs_custom_operators(path):
        return any(name.startswith("CUSTOM") for name in litert_operators(path))
    ```
    """
    model = read_model(Path(path).read_bytes())
    counts = Counter(name for _, _, name in operators(model))
    return dict(counts.most_common())
