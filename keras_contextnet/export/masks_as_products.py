"""Masks inside the encoder of a LiteRT file as products, which its fast kernels know."""

from __future__ import annotations

from typing import Any

from keras_contextnet.export.layer_names import belongs_to
from keras_contextnet.export.litert_model import constant, new_operator, new_tensor, operator_name


def turn_masks_into_products(model: Any, encoder: str) -> None:
    """Rewrites `where(mask, x, 0)` as `x * mask` within the layer at the path `encoder`.

    XNNPACK, LiteRT's library of fast kernels, has no selection: each one ends the piece of the
    graph that it runs as one. Layers select since padding may hold NaN, which a product would
    keep; between the encoder's layers there is none once it has been kept out of the first ones,
    so that what comes in from the front end is selected all the same.
    """
    for graph in model.subgraphs:
        _rewrite(model, graph, encoder)


def _rewrite(model: Any, graph: Any, encoder: str) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    weights: dict[int, int] = {}  # boolean mask to float one
    rewritten, clean = [], set()  # tensors of the encoder that come from selections
    for operator in graph.operators:
        inside = belongs_to(encoder, graph.tensors[operator.outputs[0]].name.decode())
        is_mask = inside and _is_mask(model, graph, operator)
        if inside and (is_mask or not clean.isdisjoint(operator.inputs)):
            clean.update(operator.outputs)
        if not is_mask or operator.inputs[1] not in clean:
            rewritten.append(operator)
            continue
        mask, x, _ = operator.inputs
        if mask not in weights:
            weights[mask] = new_tensor(
                graph,
                like=graph.tensors[mask],
                name=graph.tensors[mask].name + b"/weights",
                type=schema.TensorType.FLOAT32,
            )
            options = schema.CastOptionsT()
            options.inDataType = schema.TensorType.BOOL
            options.outDataType = schema.TensorType.FLOAT32
            rewritten.append(new_operator(model, "CAST", [mask], [weights[mask]], options))
        product = [x, weights[mask]]
        rewritten.append(
            new_operator(model, "MUL", product, operator.outputs, schema.MulOptionsT())
        )
    graph.operators = rewritten


def _is_mask(model: Any, graph: Any, operator: Any) -> bool:
    if operator_name(model, operator) != "SELECT_V2":
        return False
    otherwise = constant(model, graph.tensors[operator.inputs[2]])
    return otherwise is not None and not otherwise.any()
