"""Export in any format: what `ContextNet.export` calls."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from keras_contextnet.export.litert import export_litert
from keras_contextnet.export.saved_model import export_saved_model
from keras_contextnet.export.verify import Agreement

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet

FORMATS = {"tf_saved_model": export_saved_model, "litert": export_litert}


def export_model(
    model: ContextNet,
    filepath: str | os.PathLike[str],
    format: str = "tf_saved_model",
    **kwargs: Any,
) -> Agreement | None:
    """Writes `model` in one of the formats that run without this package.

    Args:
        model: `ContextNet`.
        filepath: where to; a folder for a SavedModel, a `.tflite` file for LiteRT.
        format: "tf_saved_model" or "litert".
        **kwargs: of `export_saved_model` or `export_litert`.

    Returns:
        What the format's function returns: for LiteRT with `verify`, an `Agreement`.

    Raises:
        ValueError: for another format, and whatever the format's function raises.
    """
    if format not in FORMATS:
        raise ValueError(
            f"Expected `format` to be one of {sorted(FORMATS)}. Received: format={format!r}"
        )
    return FORMATS[format](model, filepath, **kwargs)
