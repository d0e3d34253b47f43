"""The weights of a LiteRT file in 16 or 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_contextnet.export.layer_names import belongs_to
from keras_contextnet.export.litert_model import (
    constant,
    new_buffer,
    new_operator,
    new_tensor,
    operators,
    set_version,
)

SMALLEST = 512  # weights; fewer are not worth what they lose
LARGEST = 65504.0  # of half precision
NOTHING = 1e-30
LEVELS = 127  # to either side of zero
# The version from which on dense layers take a scale for each output.
FULLY_CONNECTED_VERSION = 12
WEIGHTS_OF = {
    "FULLY_CONNECTED": 1,
    "GATHER": 0,
    "DEPTHWISE_CONV_2D": 1,
    "CONV_2D": 1,
}  # which input


def store_float16(model: Any, keep_float: Sequence[str] = ()) -> None:
    """Stores the weights of a `ModelT` in half precision; it computes in float32 all the same.

    Args:
        model: `ModelT`.
        keep_float: names of layers in the graph, such as "block_0", that are left alone.
    """
    buffers = {buffer for found in _weights(model, keep_float).values() for buffer in found}
    _to_float16(model, buffers)


def store_int8(model: Any, keep_float: Sequence[str] = ()) -> None:
    """Stores the matrices and embeddings of a `ModelT` in 8 bits, its other weights in 16.

    A dense layer has a scale for each output. It quantises its input as it comes, row by row, and
    multiplies in 8 bits. An embedding has one scale, and the rows looked up are made float.
    Depthwise convolutions, a hundredth of the weights, have no such kernel.

    Args:
        model: `ModelT`.
        keep_float: names of layers in the graph, such as "block_0", that are left alone.
    """
    weights = _weights(model, keep_float)
    _matrices_to_int8(model, weights.pop("FULLY_CONNECTED"))
    _embeddings_to_int8(model, weights.pop("GATHER"))
    _to_float16(model, {buffer for found in weights.values() for buffer in found})


def _weights(model: Any, keep_float: Sequence[str]) -> dict[str, set[int]]:
    """Returns the buffers of weights, by the operator that uses them."""
    found: dict[str, set[int]] = {name: set() for name in WEIGHTS_OF}
    kept = set()
    for graph, operator, name in operators(model):
        if name not in WEIGHTS_OF:
            continue
        weights = graph.tensors[operator.inputs[WEIGHTS_OF[name]]]
        values = constant(model, weights)
        if values is None:
            continue
        made = graph.tensors[operator.outputs[0]].name.decode()
        if (
            values.size < SMALLEST
            or not np.abs(values).max() <= LARGEST
            or any(belongs_to(layer, made) for layer in keep_float)
        ):
            kept.add(weights.buffer)
        found[name].add(weights.buffer)
    for name, buffers in found.items():
        # What two operators share would need two kinds of scales.
        others = set().union(*(found[other] for other in found if other != name))
        kept |= buffers & others
    return {name: buffers - kept for name, buffers in found.items()}


def _to_float16(model: Any, buffers: set[int]) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    halves: dict[int, int] = {}
    for graph in model.subgraphs:
        first = []
        for index, tensor in list(enumerate(graph.tensors)):
            if tensor.buffer not in buffers:
                continue
            if tensor.buffer not in halves:
                half = constant(model, tensor).astype(np.float16)
                halves[tensor.buffer] = new_buffer(model, half)
            stored = new_tensor(
                graph,
                like=tensor,
                name=tensor.name + b"/float16",
                type=schema.TensorType.FLOAT16,
                buffer=halves[tensor.buffer],
            )
            tensor.buffer = 0
            first.append(new_operator(model, "DEQUANTIZE", [stored], [index]))
        graph.operators = [*first, *graph.operators]


def _matrices_to_int8(model: Any, buffers: set[int]) -> None:
    stored: dict[int, tuple[int, np.ndarray]] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.buffer not in buffers:
                continue
            if tensor.buffer not in stored:
                values = constant(model, tensor)  # (outputs, inputs)
                scale = _scale(np.abs(values).max(axis=1))
                stored[tensor.buffer] = _int8_buffer(model, values, scale[:, None]), scale
            _set_int8(tensor, *stored[tensor.buffer])
    set_version(model, "FULLY_CONNECTED", FULLY_CONNECTED_VERSION)


def _embeddings_to_int8(model: Any, buffers: set[int]) -> None:
    stored: dict[int, tuple[int, np.ndarray]] = {}
    for graph, operator, name in list(operators(model)):
        table = graph.tensors[operator.inputs[0]] if name == "GATHER" else None
        if table is None or table.buffer not in buffers:
            continue
        if table.buffer not in stored:
            values = constant(model, table)  # (tokens, size)
            scale = _scale(np.abs(values).max(keepdims=True)[0])
            stored[table.buffer] = _int8_buffer(model, values, scale), scale
        buffer, scale = stored[table.buffer]
        _set_int8(table, buffer, scale)
        # Another look-up may share the table.
        buffers, stored[buffer] = buffers | {buffer}, (buffer, scale)
        (found,) = operator.outputs
        quantized = new_tensor(graph, graph.tensors[found], graph.tensors[found].name + b"/int8")
        _set_int8(graph.tensors[quantized], 0, scale)
        operator.outputs = [quantized]
        place = graph.operators.index(operator) + 1
        graph.operators.insert(place, new_operator(model, "DEQUANTIZE", [quantized], [found]))


def _scale(largest: np.ndarray) -> np.ndarray:
    """The step between two of 255 levels that reach from minus to plus the largest value.

    Weights of units that died are next to nothing: their scale would be no float32.
    """
    return (np.where(largest > NOTHING, largest, 1.0) / LEVELS).astype(np.float32)


def _int8_buffer(model: Any, values: np.ndarray, scale: np.ndarray) -> int:
    levels = np.clip(np.rint(values / scale), -LEVELS, LEVELS)
    return new_buffer(model, levels.astype(np.int8))


def _set_int8(tensor: Any, buffer: int, scale: np.ndarray) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    tensor.type, tensor.buffer = schema.TensorType.INT8, buffer
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = scale
    tensor.quantization.zeroPoint = np.zeros(len(scale), np.int64)
    tensor.quantization.quantizedDimension = 0
