"""The signature `encode` of a LiteRT file, cut out of `transcribe`."""

from __future__ import annotations

import copy
from typing import Any

from keras_contextnet.export.litert_model import signature_graph
from keras_contextnet.export.signatures import SIGNATURES


def cut_encode_signature(model: Any) -> None:
    """Gives a `ModelT` the signature `encode`: the part of `transcribe` that makes its outputs.

    `transcribe` must have been converted with the outputs of `encode` beside its own; they are
    taken from it. Converting the encoder once instead of twice saves a third of the conversion.
    """
    transcribe, graph = signature_graph(model, "transcribe")
    encode = copy.copy(transcribe)
    encode.signatureKey = b"encode"
    encode.outputs = _of(transcribe, "encode")
    transcribe.outputs = _of(transcribe, "transcribe")
    encode.inputs = copy.deepcopy(transcribe.inputs)
    encode.subgraphIndex = len(model.subgraphs)
    model.subgraphs.append(_part(graph, encode))
    model.signatureDefs.append(encode)
    graph.outputs = [output.tensorIndex for output in transcribe.outputs]
    _keep_needed_operators(graph)


def _of(transcribe: Any, key: str) -> list[Any]:
    return [
        output
        for output in transcribe.outputs
        if output.name.decode() in SIGNATURES[key]["outputs"]
    ]


def _part(graph: Any, signature: Any) -> Any:
    """Returns the part of `graph` that makes a signature's outputs, as a subgraph of its own."""
    part = copy.copy(graph)
    part.name = signature.signatureKey
    # Tensors and operators of its own: what is written renumbers those of each subgraph.
    part.tensors = [copy.copy(tensor) for tensor in graph.tensors]
    part.operators = [copy.deepcopy(operator) for operator in graph.operators]
    part.outputs = [output.tensorIndex for output in signature.outputs]
    _keep_needed_operators(part)
    return part


def _keep_needed_operators(graph: Any) -> None:
    """Drops operators that none of the subgraph's outputs depends on."""
    needed, kept = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]
