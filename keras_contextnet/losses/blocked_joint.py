"""The joint network a block of lattice cells at a time: what is in memory is one block's logits."""

from typing import Any

import keras
from keras import ops

from keras_contextnet.backend import (
    add_at,
    as_tensor,
    custom_gradient,
    log_sum_exp,
    loop,
    pull_back,
)
from keras_contextnet.losses.arc_log_probs import add_one_hots, upstream_of_loss
from keras_contextnet.losses.packed_cells import PackedCells


class BlockedJoint:
    """The arcs' log-probabilities of a joint network, a block of cells at a time.

    Args:
        joiner: The joint network.
        inside: Bool tensor (batch, T, U + 1). Where it is False there is nothing to compute.
        label: Int tensor (batch, U + 1). Columns without a label hold the blank.
        blank_id: Integer, 0 or more.
        fastemit_lambda: Float, what the lattice scales the label's upstream gradient by, less 1.
        clamp: Float or None, see `joint_rnnt_loss`.
        negligible: Float, see `joint_rnnt_loss`.
    """

    def __init__(
        self,
        joiner: Any,
        inside: Any,
        label: Any,
        blank_id: int,
        fastemit_lambda: float,
        clamp: float | None,
        negligible: float,
    ) -> None:
        self.joiner = joiner
        self.inside = inside
        self.label = ops.reshape(label, (-1,))  # (batch * (U + 1),)
        self.blank_id = blank_id
        self.fastemit_lambda = fastemit_lambda
        self.clamp = clamp
        self.negligible = negligible
        # Those of a frozen joiner too: TensorFlow knows nothing of Keras's `trainable`.
        self.variables = joiner.output_projection.variables
        self.dtype = "float64" if joiner.compute_dtype == "float64" else "float32"

    def arc_log_probs(self, encoder: Any, predictor: Any) -> tuple[Any, Any]:
        """Log-softmax at the blank and at each column's label: two tensors (batch, T, U + 1).

        Args:
            encoder: Float tensor (batch, T, units), projected.
            predictor: Float tensor (batch, U + 1, units), projected.
        """

        @custom_gradient
        def log_probs(encoder: Any, predictor: Any, *weights: Any) -> Any:
            inputs = (_rows(encoder), _rows(predictor), *weights)

            def gradient(for_blank: Any, for_label: Any) -> Any:
                grads = self._backward(inputs, for_blank, for_label)
                shapes = [ops.shape(x) for x in (encoder, predictor, *weights)]
                return tuple(
                    ops.cast(ops.reshape(grad, shape), x.dtype)
                    for grad, shape, x in zip(grads, shapes, inputs, strict=True)
                )

            return self._forward(inputs), gradient

        # Tensors, not variables: TensorFlow would take the gradients of those for its own.
        weights = [as_tensor(variable) for variable in self.variables]
        return log_probs(encoder, predictor, *weights)

    def _forward(self, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
        cells = PackedCells(self.inside, self.joiner.vocabulary_size)

        def add_block(i: Any, arcs: Any) -> tuple[Any]:
            cell, place = cells.block(i)
            frame, column = self._rows_of(cell)
            logits = self._logits(*self._inputs_of(frame, column, inputs))
            logits = ops.cast(logits, self.dtype)  # (cells, vocabulary)
            label = ops.take(self.label, column)[:, None]
            at_label = ops.take_along_axis(logits, label, axis=1)[:, 0]
            found = ops.stack([logits[:, self.blank_id], at_label], axis=1)
            return (add_at(arcs, place[:, None], found - log_sum_exp(logits)[:, None]),)

        arcs = ops.zeros((cells.capacity, 2), self.dtype)
        (arcs,) = loop(cells.blocks, add_block, (arcs,))
        arcs = ops.reshape(arcs[:-1], (*ops.shape(self.inside), 2))  # (batch, T, U + 1, 2)
        return arcs[..., 0], arcs[..., 1]

    def _backward(self, inputs: tuple[Any, ...], for_blank: Any, for_label: Any) -> tuple[Any, ...]:
        upstream = upstream_of_loss(for_blank, for_label, self.fastemit_lambda)[:, None, None]
        through = ops.abs(for_blank + for_label)
        likely = (through > self.negligible * upstream) | ops.isnan(through)
        cells = PackedCells(self.inside & likely, self.joiner.vocabulary_size)
        for_arcs = ops.reshape(ops.stack([for_blank, for_label], axis=-1), (-1, 2))
        bound = ops.reshape(ops.broadcast_to(upstream, ops.shape(through)), (-1, 1))

        def add_block(i: Any, for_encoder: Any, for_predictor: Any, *for_weights: Any) -> Any:
            cell, place = cells.block(i)
            frame, column = self._rows_of(cell)
            for_cell = ops.take(for_arcs, cell, axis=0)  # (cells, 2)
            for_cell = ops.where((place == cell)[:, None], for_cell, ops.zeros((), self.dtype))

            def for_logits(logits: Any) -> Any:
                grad = self._for_logits(logits, for_cell, ops.take(self.label, column))
                if self.clamp is not None:
                    limit = self.clamp * ops.take(bound, cell, axis=0)
                    grad = ops.clip(grad, -limit, limit)
                return ops.cast(grad, logits.dtype)

            block = pull_back(self._logits, self._inputs_of(frame, column, inputs), for_logits)
            block = [ops.cast(grad, self.dtype) for grad in block]
            return (
                add_at(for_encoder, frame[:, None], block[0]),
                add_at(for_predictor, column[:, None], block[1]),
                *(total + grad for total, grad in zip(for_weights, block[2:], strict=True)),
            )

        zeros = tuple(ops.zeros(ops.shape(x), self.dtype) for x in inputs)
        return loop(cells.blocks, add_block, zeros)

    def _for_logits(self, logits: Any, for_cell: Any, label: Any) -> Any:
        """Gradient of a block's logits (cells, vocabulary), given that of its arcs (cells, 2)."""
        grad = ops.softmax(ops.cast(logits, self.dtype), axis=-1)
        grad = grad * -ops.sum(for_cell, axis=1, keepdims=True)
        for arc, entry in enumerate((ops.full_like(label, self.blank_id), label)):
            grad = add_one_hots(grad, entry, for_cell[:, arc])
        return grad

    def _logits(self, encoder: Any, predictor: Any, *weights: Any) -> Any:
        """Logits (cells, vocabulary) of rows (cells, units), by the weights that are given."""
        mapping = list(zip(self.variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self.joiner.join(encoder, predictor, training=True)

    def _rows_of(self, cell: Any) -> tuple[Any, Any]:
        """The encoder's and the predictor's row of each cell, over the whole batch."""
        _, frames, columns = ops.shape(self.inside)
        frame = cell // columns
        return frame, frame // frames * columns + cell % columns

    def _inputs_of(self, frame: Any, column: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        encoder, predictor, *weights = inputs
        return ops.take(encoder, frame, axis=0), ops.take(predictor, column, axis=0), *weights


def _rows(tensor: Any) -> Any:
    """(batch, rows, units) to (batch * rows, units)."""
    return ops.reshape(tensor, (-1, ops.shape(tensor)[-1]))
