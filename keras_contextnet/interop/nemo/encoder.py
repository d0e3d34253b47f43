"""NeMo's encoder section as a `ContextNetEncoder`."""

from __future__ import annotations

from typing import Any

from keras_contextnet.interop.nemo.settings import Settings
from keras_contextnet.models.encoder import ContextNetEncoder

ACTIVATIONS = {
    "identity": "linear",
    "hardtanh": "hard_tanh",
    "relu": "relu",
    "selu": "selu",
    "swish": "swish",
    "silu": "swish",
    "gelu": "gelu",
}


def make_encoder(settings: Settings, num_features: int, **kwargs: Any) -> ContextNetEncoder:
    """Returns the encoder of an `encoder` section, with random weights.

    Args:
        settings: the section.
        num_features: int. Bands of the front end.
        **kwargs: of `ContextNetEncoder`.

    Raises:
        NemoFileError: for a setting that the encoder has not.
    """
    _check_encoder(settings, num_features)
    activation = settings.require("activation", "relu", *ACTIVATIONS)
    residual_mode = settings.get("residual_mode", "add")
    blocks = []
    for block in settings.sections("jasper"):
        # NeMo lets a block without the setting take that of the block before.
        residual_mode = block.get("residual_mode", residual_mode)
        blocks.append(_block_arguments(block, residual_mode))
    return ContextNetEncoder(
        blocks=blocks,
        num_features=num_features,
        activation=ACTIVATIONS[activation],
        squeeze_excite_conv=False,
        squeeze_excite_bias=False,
        activate_last_conv=False,
        **kwargs,
    )


def _check_encoder(settings: Settings, num_features: int) -> None:
    settings.require_target("ConvASREncoder", "ConvASREncoderAdapter")
    settings.require("feat_in", num_features, num_features)
    settings.require("frame_splicing", 1, 1)
    settings.require("normalization_mode", "batch", "batch")
    settings.require("conv_mask", True, True)
    settings.require("quantize", False, False)
    if settings.get("adapters"):
        raise settings.unsupported("adapters", settings.get("adapters"), "none")


def _block_arguments(block: Settings, residual_mode: str) -> dict[str, Any]:
    """Returns the arguments of the `ContextBlock` of one entry of `jasper`."""
    strides, convs = block.integer("stride", 1), block.integer("repeat", 1)
    residual = block.flag("residual", True)
    _check_block(block)
    if strides > 1 and convs > 1 and not block.flag("stride_last", False):
        raise block.unsupported("stride_last", False, "true, where a repeated block has a stride")
    if residual and residual_mode != "stride_add" and (strides > 1 or residual_mode != "add"):
        raise block.unsupported("residual_mode", residual_mode, "stride_add, or add without stride")
    dropout = block.number("dropout", 0.0)
    return {
        "filters": block.integer("filters"),
        "num_convs": convs,
        "kernel_size": _odd(block.integer("kernel"), block.number("kernel_size_factor", 1.0)),
        "strides": strides,
        "residual": residual,
        "squeeze_excite_reduction": block.integer("se_reduction_ratio", 8),
        "dropout": dropout,
        "conv_dropout": dropout,
    }


def _check_block(block: Settings) -> None:
    for key, default, supported in (
        ("separable", False, True),
        ("se", False, True),
        ("dilation", 1, 1),
        ("groups", 1, 1),
        ("heads", -1, -1),
        ("residual_dense", False, False),
    ):
        block.require(key, default, supported)
    if block.get("future_context", -1) != -1:
        raise block.unsupported("future_context", block.get("future_context"), "-1")


def _odd(kernel_size: int, factor: float) -> int:
    size = max(1, int(kernel_size * factor))
    return size + 1 - size % 2
