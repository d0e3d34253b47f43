"""The encoder of a LiteRT file on (batch, time, 1, channels) from end to end.

LiteRT convolves along one axis as along two. So each depthwise convolution of an encoder on
(batch, time, channels) comes with an operator that adds an axis and one that takes it away, and
both copy everything, outside of XNNPACK, LiteRT's library of fast kernels. Here the axis is added
once before the encoder and taken away once behind it.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from keras_contextnet.export.layer_names import belongs_to
from keras_contextnet.export.litert_model import (
    new_buffer,
    new_operator,
    new_tensor,
    operator_name,
    rank,
)

ELEMENTWISE = {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "LOGISTIC", "TANH", "RELU", "GELU"}
CONVOLUTIONS = {"DEPTHWISE_CONV_2D", "CONV_2D"}
REDUCTIONS = {"SUM", "MEAN"}
AXIS = 2  # of size 1


def run_encoder_on_four_axes(model: Any, encoder: str) -> None:
    """Rewrites the layer at the path `encoder` in every subgraph of a `ModelT`."""
    for graph in model.subgraphs:
        _FourAxes(model, graph, encoder).rewrite()


class _FourAxes:
    """One subgraph while it is rewritten, operator by operator from its inputs on."""

    def __init__(self, model: Any, graph: Any, encoder: str) -> None:
        self.model, self.graph, self.encoder = model, graph, encoder
        self.operators: list[Any] = []
        self.wide: dict[int, int] = {}  # tensor of the encoder to the one of four axes in its place
        self.side: dict[int, int] = {}  # mask or count to itself with four axes
        self.narrow: set[int] = (
            set()
        )  # tensors of the encoder that are made with their own axes too

    def rewrite(self) -> None:
        for operator in self.graph.operators:
            name = operator_name(self.model, operator)
            if not any(tensor in self.wide for tensor in operator.inputs):
                self.operators.append(operator)
                if self._enters_encoder(operator, name):
                    (features,) = operator.outputs
                    self.wide[features] = self._with_axis(features)
            elif not self._widen(operator, name):
                operator.inputs = [self._narrowed(tensor) for tensor in operator.inputs]
                self.operators.append(operator)
        self.graph.outputs = [self._narrowed(tensor) for tensor in self.graph.outputs]
        self.graph.operators = self.operators

    def _enters_encoder(self, operator: Any, name: str) -> bool:
        """Whether this selects, of features (batch, time, bands), those that are no padding."""
        return (
            name == "SELECT_V2"
            and self._is_of_encoder(operator)
            and rank(self._tensor(operator.outputs[0])) == 3
        )

    def _widen(self, operator: Any, name: str) -> bool:
        """Rewrites an operator of the encoder, or returns False if it is not one that is known."""
        if not self._is_of_encoder(operator):
            return False
        if name in {"EXPAND_DIMS", "SQUEEZE"}:
            return self._skip(operator, name)
        if name in ELEMENTWISE:
            return self._widen_operands(operator, operator.inputs)
        if name in CONVOLUTIONS:
            return self._widen_operands(operator, operator.inputs[:1])
        if name == "FULLY_CONNECTED":
            operator.builtinOptions.keepNumDims = True
            return self._widen_operands(operator, operator.inputs[:1])
        if rank(self._tensor(operator.inputs[0])) != 3:
            return False
        if name in REDUCTIONS and self._values(operator.inputs[1]) == [1]:
            operator.builtinOptions.keepDims = True
            operator.inputs = [operator.inputs[0], self._constant([1, AXIS])]
            return self._widen_operands(operator, operator.inputs[:1])
        if name == "PAD" and (padding := self._values(operator.inputs[1])):
            padding = np.insert(np.reshape(padding, (3, 2)), AXIS, 0, axis=0)
            operator.inputs = [operator.inputs[0], self._constant(padding)]
            return self._widen_operands(operator, operator.inputs[:1])
        return name == "STRIDED_SLICE" and self._widen_slice(operator)

    def _widen_slice(self, operator: Any) -> bool:
        options = operator.builtinOptions
        bounds = [self._values(tensor) for tensor in operator.inputs[1:]]
        if not all(bounds) or options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask:
            return False
        whole = 1 << AXIS
        options.beginMask, options.endMask = (
            mask & (whole - 1) | whole | (mask & ~(whole - 1)) << 1
            for mask in (options.beginMask, options.endMask)
        )
        bounds = [np.insert(b, AXIS, new) for b, new in zip(bounds, (0, 0, 1), strict=True)]
        operator.inputs = [operator.inputs[0], *map(self._constant, bounds)]
        return self._widen_operands(operator, operator.inputs[:1])

    def _skip(self, operator: Any, name: str) -> bool:
        """Drops an operator that only adds the axis, or takes it away."""
        axes = rank(self._tensor(operator.inputs[0]))
        if name == "EXPAND_DIMS":
            if self._values(operator.inputs[1]) != [_place_of_axis(axes)]:
                return False
        elif axes != 4 or list(operator.builtinOptions.squeezeDims) not in ([AXIS], [AXIS - 4]):
            return False
        self.wide[operator.outputs[0]] = self.wide[operator.inputs[0]]
        return True

    def _widen_operands(self, operator: Any, operands: list[int]) -> bool:
        widened = [self._widened(tensor) for tensor in operands]
        operator.inputs = [*widened, *operator.inputs[len(widened) :]]
        (output,) = operator.outputs
        tensor = copy.copy(self._tensor(output))
        tensor.name += b"/axis"
        self.graph.tensors.append(tensor)
        self.wide[output] = len(self.graph.tensors) - 1
        _set_four_axes(tensor)
        operator.outputs = [self.wide[output]]
        self.operators.append(operator)
        return True

    def _widened(self, tensor: int) -> int:
        """A tensor of the encoder, a constant as it is, or a mask or count with four axes."""
        if tensor in self.wide:
            return self.wide[tensor]
        if self.model.buffers[self._tensor(tensor).buffer].data is not None:
            return tensor
        if rank(self._tensor(tensor)) == 0:
            return tensor
        if tensor not in self.side:
            self.side[tensor] = tensor
            while rank(self._tensor(self.side[tensor])) < 4:
                self.side[tensor] = self._with_axis(self.side[tensor])
        return self.side[tensor]

    def _with_axis(self, tensor: int) -> int:
        """Adds the axis to (batch, time, 1), or one to (batch, 1)."""
        axis = _place_of_axis(rank(self._tensor(tensor)))
        return self._reshaped("EXPAND_DIMS", tensor, [tensor, self._constant(axis)], axis)

    def _narrowed(self, tensor: int) -> int:
        if tensor not in self.wide:
            return tensor
        if rank(self._tensor(tensor)) == 4:
            return self.wide[tensor]
        if tensor not in self.narrow:
            from tensorflow.lite.python import schema_py_generated as schema

            options = schema.SqueezeOptionsT()
            extra = 4 - rank(self._tensor(tensor))
            options.squeezeDims = list(range(AXIS + 1 - extra, AXIS + 1))
            squeeze = new_operator(self.model, "SQUEEZE", [self.wide[tensor]], [tensor], options)
            self.operators.append(squeeze)
            self.narrow.add(tensor)
        return tensor

    def _reshaped(self, name: str, tensor: int, inputs: list[int], axis: int) -> int:
        like = self._tensor(tensor)
        output = new_tensor(self.graph, like, like.name + b"/axis", like.type)
        reshaped = self._tensor(output)
        for shape in ("shape", "shapeSignature"):
            if getattr(like, shape) is not None:
                setattr(reshaped, shape, np.insert(getattr(like, shape), axis, 1))
        self.operators.append(new_operator(self.model, name, inputs, [output]))
        return output

    def _is_of_encoder(self, operator: Any) -> bool:
        return belongs_to(self.encoder, self._tensor(operator.outputs[0]).name.decode())

    def _tensor(self, index: int) -> Any:
        return self.graph.tensors[index]

    def _values(self, tensor: int) -> list[int]:
        """The values of a constant of integers; none for a tensor that is not constant."""
        data = self.model.buffers[self._tensor(tensor).buffer].data
        return [] if data is None else np.asarray(data, np.uint8).view(np.int32).tolist()

    def _constant(self, values: Any) -> int:
        from tensorflow.lite.python import schema_py_generated as schema

        values = np.asarray(values, np.int32)
        tensor = schema.TensorT()
        tensor.shape, tensor.hasRank = np.array(values.shape, np.int32), True
        tensor.type = schema.TensorType.INT32
        tensor.name = f"constant_{len(self.graph.tensors)}".encode()
        tensor.buffer = new_buffer(self.model, values)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def _place_of_axis(axes: int) -> int:
    """Where an axis is missing: before the channels, which (batch, 1) counts as."""
    return axes - 1


def _set_four_axes(tensor: Any) -> None:
    """(batch, time, channels) to (batch, time, 1, channels); (batch, channels) likewise."""
    for shape in ("shape", "shapeSignature"):
        sizes = getattr(tensor, shape)
        while sizes is not None and len(sizes) < 4:
            sizes = np.insert(sizes, len(sizes) - 1, 1)
        setattr(tensor, shape, sizes)
