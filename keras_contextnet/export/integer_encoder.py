"""The encoder of a LiteRT file in 8-bit integers, its activations too, by ai-edge-quantizer."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_contextnet.export.layer_names import pattern_of
from keras_contextnet.export.litert_model import name_tensors_apart, read_model, write_model

# Means, and what they are divided by, stay in float: they add up thousands of frames.
INTEGER_OPERATORS = (
    "FULLY_CONNECTED",
    "DEPTHWISE_CONV_2D",
    "CONV_2D",
    "ADD",
    "MUL",
    "LOGISTIC",
    "TANH",
    "PAD",
    "STRIDED_SLICE",
    "SUM",
)


def quantize_encoder(
    model: Any, encoder: str, calibration: Sequence[np.ndarray], keep_float: Sequence[str] = ()
) -> Any:
    """Returns a `ModelT` whose encoder computes in integers.

    Args:
        model: `ModelT`, with the signature `transcribe`.
        encoder: path of the encoder in the graph.
        calibration: waveforms (samples,). The ranges of the activations are those that these lead
            to, so that they should be like what the file will hear.
        keep_float: names of layers in the graph, such as "block_0", that are left alone.

    Raises:
        ImportError: where ai-edge-quantizer is not installed.
    """
    qtyping, quantizer = _import_quantizer()
    int8 = qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(num_bits=8, symmetric=False),
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
        ),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )
    name_tensors_apart(model)  # as ai-edge-quantizer has them; TensorFlow 2.16 repeats names
    recipe = quantizer.Quantizer(write_model(model))
    for name in INTEGER_OPERATORS:
        recipe.update_quantization_recipe(
            regex=f".*{pattern_of(encoder)}",
            operation_name=qtyping.TFLOperationName[name],
            op_config=int8,
            algorithm_key="min_max_uniform_quantize",
        )
    for layer in keep_float:
        recipe.update_quantization_recipe(
            regex=f".*{pattern_of(layer)}",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key="no_quantize",
        )
    inputs = [
        {"audio": waveform[None], "audio_length": np.array([len(waveform)], np.int32)}
        for waveform in calibration
    ]
    report = io.StringIO()  # of how far it has come, and what it has saved
    with contextlib.redirect_stdout(report), contextlib.redirect_stderr(report):
        ranges = recipe.calibrate({"transcribe": inputs})
        return read_model(bytes(recipe.quantize(ranges).quantized_model))


def _import_quantizer() -> tuple[Any, Any]:
    try:
        from ai_edge_quantizer import qtyping, quantizer
    except ImportError as error:
        raise ImportError(
            'Expected ai-edge-quantizer, which `quantization="int8"` needs. Install it with: '
            'pip install "keras-contextnet[quantize]"'
        ) from error
    return qtyping, quantizer
