"""Which layer a tensor of an exported graph belongs to."""

from __future__ import annotations

import re


def pattern_of(layer: str) -> str:
    """Returns a regular expression that finds a layer in the names of its tensors.

    TensorFlow numbers names that it has seen before ("encoder_1/block_3_1/conv_0_1/mul"), and a
    tensor that stands for several operators carries all their names, parted by semicolons.

    Args:
        layer: names of nested layers, such as "encoder/block_3" or "block_3/conv_0".
    """
    parts = [re.escape(part) + r"(_\d+)?" for part in layer.split("/")]
    return rf"(^|[/;]){'/'.join(parts)}([/;]|$)"


def belongs_to(layer: str, tensor: str) -> bool:
    """Whether a tensor's name says that it is of a layer, or of one inside that."""
    return re.search(pattern_of(layer), tensor) is not None
