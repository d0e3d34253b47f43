"""A LiteRT model as Python objects: read, looked into, changed and written again.

The objects are those that TensorFlow generates from TFLite's schema: a model has operator codes,
buffers and subgraphs; a subgraph has tensors, which name buffers, and operators, which name
tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_contextnet.export.sharing_builder import sharing_builder
from keras_contextnet.litert.model_file import FILE_IDENTIFIER


def read_model(content: bytes) -> Any:
    """Returns the `ModelT` of a `.tflite` file's bytes."""
    schema = _schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:  # its data is behind the flatbuffer
            end = buffer.offset + buffer.size
            buffer.data = np.frombuffer(content[buffer.offset : end], np.uint8)
            buffer.offset = buffer.size = 0
    return model


def write_model(model: Any) -> bytes:
    """Returns the bytes of a `ModelT`, without what nothing uses, and equal parts stored once."""
    for index, graph in enumerate(model.subgraphs):
        signatures = [s for s in model.signatureDefs if s.subgraphIndex == index]
        _drop_unused_tensors(graph, signatures)
    _share_equal_buffers(model)
    builder = sharing_builder()
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def operator_name(model: Any, operator: Any) -> str:
    """Returns the schema's name of an operator (`FULLY_CONNECTED`), or `CUSTOM:` and its name."""
    code = model.operatorCodes[operator.opcodeIndex]
    name = _operator_names()[_number(code)]
    return f"CUSTOM:{code.customCode.decode()}" if name == "CUSTOM" else name


def new_operator(
    model: Any, name: str, inputs: list[int], outputs: list[int], options: Any = None
) -> Any:
    """Returns an operator of the schema's `name`, whose code is added to the model if need be."""
    schema = _schema()
    operator = schema.OperatorT()
    operator.opcodeIndex = _operator_code(model, getattr(schema.BuiltinOperator, name))
    operator.inputs, operator.outputs = inputs, outputs
    if options is not None:
        operator.builtinOptions = options
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    return operator


def new_tensor(graph: Any, like: Any, name: bytes, type: int | None = None, buffer: int = 0) -> int:
    """Adds a tensor of the shape of `like` to a subgraph, and returns its index."""
    tensor = _schema().TensorT()
    tensor.shape, tensor.shapeSignature, tensor.hasRank = like.shape, like.shapeSignature, True
    tensor.type = like.type if type is None else type
    tensor.name, tensor.buffer = name, buffer
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def new_buffer(model: Any, data: np.ndarray) -> int:
    """Adds a constant to the model, and returns the index of its buffer."""
    buffer = _schema().BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def name_tensors_apart(model: Any) -> None:
    """Numbers the tensors whose names an earlier one of the model has: arg0, arg0_1, arg0_2."""
    taken: set[bytes] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            name, number = bytes(tensor.name), 0
            while tensor.name in taken:
                number += 1
                tensor.name = b"%s_%d" % (name, number)
            taken.add(bytes(tensor.name))


def constant(model: Any, tensor: Any) -> np.ndarray | None:
    """Returns the values of a constant float32 tensor, or None for another one."""
    data = model.buffers[tensor.buffer].data
    if data is None or tensor.type != _schema().TensorType.FLOAT32:
        return None
    shape = () if tensor.shape is None else tuple(tensor.shape)
    return np.asarray(data, np.uint8).view(np.float32).reshape(shape)


def rank(tensor: Any) -> int:
    """Returns the number of axes of a `TensorT`."""
    return 0 if tensor.shape is None else len(tensor.shape)


def signature_graph(model: Any, key: str) -> tuple[Any, Any]:
    """Returns the `SignatureDefT` of that key, and its subgraph."""
    for signature in model.signatureDefs:
        if signature.signatureKey == key.encode():
            return signature, model.subgraphs[signature.subgraphIndex]
    raise KeyError(key)


def make_default(model: Any, key: str) -> None:
    """Makes a signature's subgraph the first, which runtimes take that are given no signature."""
    first = signature_graph(model, key)[0].subgraphIndex
    order = [first, *(index for index in range(len(model.subgraphs)) if index != first)]
    place = {old: new for new, old in enumerate(order)}
    model.subgraphs = [model.subgraphs[index] for index in order]
    for signature in model.signatureDefs:
        signature.subgraphIndex = place[signature.subgraphIndex]
    for _, operator, _ in operators(model):
        options = operator.builtinOptions
        for branch in ("cond", "body", "then", "else"):
            if hasattr(options, f"{branch}SubgraphIndex"):
                index = getattr(options, f"{branch}SubgraphIndex")
                setattr(options, f"{branch}SubgraphIndex", place[index])


def operators(model: Any) -> Iterator[tuple[Any, Any, str]]:
    """Yields each operator of the model, with its subgraph and its name."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            yield graph, operator, operator_name(model, operator)


def set_version(model: Any, name: str, version: int) -> None:
    """Asks for runtimes that know an operator in this version, if the model has the operator."""
    number = getattr(_schema().BuiltinOperator, name)
    for code in model.operatorCodes:
        if _number(code) == number:
            code.version = max(code.version, version)


def _number(code: Any) -> int:
    """Old readers' field holds numbers up to 127 only; the newer one is 0 in old files."""
    return max(code.builtinCode, code.deprecatedBuiltinCode)


@functools.cache
def _operator_names() -> dict[int, str]:
    numbers = vars(_schema().BuiltinOperator).items()
    return {number: name for name, number in numbers if name.isupper()}


def _operator_code(model: Any, number: int) -> int:
    for index, code in enumerate(model.operatorCodes):
        if _number(code) == number:
            return index
    code = _schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _drop_unused_tensors(graph: Any, signatures: list[Any]) -> None:
    """Keeps the tensors that a subgraph computes with, and renumbers them."""
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used |= {*operator.inputs, *operator.outputs, *_temporary(operator)}
    kept = sorted(map(int, used - {-1}))  # -1 is an optional input that is not there
    place = {-1: -1, **{old: new for new, old in enumerate(kept)}}

    def moved(tensors: Any) -> np.ndarray:
        return np.array([place[tensor] for tensor in tensors], np.int32)

    graph.tensors = [graph.tensors[tensor] for tensor in kept]
    graph.inputs, graph.outputs = moved(graph.inputs), moved(graph.outputs)
    for operator in graph.operators:
        operator.inputs, operator.outputs = moved(operator.inputs), moved(operator.outputs)
        if operator.intermediates is not None:
            operator.intermediates = moved(operator.intermediates)
    for signature in signatures:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = place[entry.tensorIndex]


def _temporary(operator: Any) -> Any:
    return () if operator.intermediates is None else operator.intermediates


def _share_equal_buffers(model: Any) -> None:
    """Points equal constants to one buffer, and drops the buffers that nothing points to."""
    kept, places = [model.buffers[0]], {b"": 0}

    def place(index: int) -> int:
        buffer = model.buffers[index]
        data = b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
        if data not in places:
            places[data] = len(kept)
            kept.append(buffer)
        return places[data]

    place = functools.cache(place)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = place(tensor.buffer)
    for entry in model.metadata or []:
        entry.buffer = place(entry.buffer)
    model.buffers = kept


def _schema() -> Any:
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated
