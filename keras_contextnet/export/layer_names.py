"""Which layer a tensor of an exported graph belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet


def pattern_of(layer: str) -> str:
    """Returns a regular expression that finds a layer in the names of its tensors.

    TensorFlow numbers names that it has seen before ("encoder_1/block_3_1/conv_0_1/mul"), and a
    tensor that stands for several operators carries all their names, parted by semicolons.

    Args:
        layer: names of nested layers, such as "encoder/block_3" or "block_3/conv_0".
    """
    parts = [re.escape(part) + r"(_\d+)?" for part in layer.split("/")]
    return rf"(^|[/;]){'/'.join(parts)}([/;]|$)"


def find_layers(
    model: ContextNet, layers: str | Sequence[str], tensors: Sequence[str]
) -> list[str]:
    """Returns layers of a model by the names that they go by in its graph.

    Decoding calls the parts of the predictor and of the joiner one by one, so that their tensors
    do not tell whose parts they are.

    Args:
        model: `ContextNet`.
        layers: names such as "block_0", "encoder/block_0/conv_0", "joiner/output_projection",
            "joiner" or "predictor".
        tensors: names of all tensors of the graph.

    Raises:
        ValueError: for a name that no layer in the graph has.
    """
    parts = {
        model.joiner.name: ["encoder_projection", "predictor_projection", "output_projection"],
        model.predictor.name: ["embedding", "lstm_cell"],
    }
    found = []
    for layer in [layers] if isinstance(layers, str) else layers:
        owner, _, part = layer.partition("/")
        paths = [layer] if owner not in parts else [part] if part else parts[owner]
        if not any(belongs_to(path, tensor) for path in paths for tensor in tensors):
            raise ValueError(
                "Expected names of layers in `keep_float`, nested ones parted by slashes, such as "
                '"block_0/conv_0", "predictor" or "joiner/output_projection". Received: '
                f"{layer!r}, which is none."
            )
        found += paths
    return found


def belongs_to(layer: str, tensor: str) -> bool:
    """Whether a tensor's name says that it is of a layer, or of one inside that."""
    return re.search(pattern_of(layer), tensor) is not None
