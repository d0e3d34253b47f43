"""Joint network and RNN-T loss in one, without the lattice of logits in memory."""

from typing import Any

import keras
from keras import ops

from keras_contextnet.losses.arc_log_probs import upstream_of_loss
from keras_contextnet.losses.arguments import (
    check_joint_shapes,
    check_regularisation,
    check_values,
    lattice_labels,
    resolve_blank,
)
from keras_contextnet.losses.lattice import lattice_cost
from keras_contextnet.losses.packed_cells import PackedCells, inside_lattice
from keras_contextnet.losses.primitives import add_at, custom_gradient, loop, pull_back


def joint_rnnt_loss(
    encoder_output: Any,
    predictor_output: Any,
    joiner: Any,
    target: Any,
    target_length: Any,
    output_length: Any,
    blank_id: int = 0,
    fastemit_lambda: float = 0.0,
    negligible: float = 1e-9,
) -> Any:
    """RNN transducer loss of a joint network's outputs, which are never in memory as a whole.

    Equals `rnnt_loss(target, joiner(encoder_output, predictor_output), ...)` in value and gradient.
    The logits are computed for a block of lattice cells at a time, and again for the gradient.
    Cells of padding are left out, and so are, in the gradient, cells that no likely alignment goes
    through.

    Args:
        encoder_output: Float tensor (batch, T, channels).
        predictor_output: Float tensor (batch, U + 1, units of the predictor).
        joiner: `keras_contextnet.Joiner`, or a layer with its `encoder_projection`,
            `predictor_projection`, `output_projection` and `join`.
        target: Integer tensor (batch, U), the labels without blanks.
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        blank_id: Integer, the vocabulary index of the blank; -1 is the last.
        fastemit_lambda: Float, 0 or more. FastEmit, see `rnnt_loss`.
        negligible: Float. The gradient leaves out lattice cells whose posterior probability is at
            most this. 1e-9 is less than float32 resolves; 0 leaves out only cells of none.

    Returns:
        Float tensor (batch,), as `rnnt_loss` returns it.

    Raises:
        ValueError: As `rnnt_loss` does.

    Example:

    ```python
    import numpy as np
    import keras_contextnet as kc

    joiner = kc.Joiner(vocabulary_size=28, units=64)
    loss = kc.losses.joint_rnnt_loss(
        encoder_output=np.zeros((2, 50, 320), "float32"),
        predictor_output=np.zeros((2, 8, 640), "float32"),
        joiner=joiner,
        target=np.ones((2, 7), "int32"),
        target_length=np.array([7, 5]),
        output_length=np.array([50, 40]),
    )
    ```
    """
    encoder_output = ops.convert_to_tensor(encoder_output)
    predictor_output = ops.convert_to_tensor(predictor_output)
    target = ops.cast(target, "int32")
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    check_joint_shapes(target, encoder_output, predictor_output, target_length, output_length)
    vocabulary = joiner.vocabulary_size
    blank_id = resolve_blank(blank_id, vocabulary)
    check_regularisation(fastemit_lambda, clamp=None)
    frames = encoder_output.shape[1]
    check_values(target, target_length, output_length, frames, vocabulary, blank_id)
    label, legal = lattice_labels(
        target, target_length, output_length, ops.shape(encoder_output)[1], vocabulary, blank_id
    )
    if not joiner.built:
        joiner.build(encoder_output.shape, predictor_output.shape)
    blank_log_prob, label_log_prob = _joint_arc_log_probs(
        joiner.encoder_projection(encoder_output),
        joiner.predictor_projection(predictor_output),
        joiner,
        inside_lattice(label, target_length, output_length, ops.shape(encoder_output)[1]),
        label,
        blank_id,
        fastemit_lambda,
        negligible,
    )
    cost = lattice_cost(
        blank_log_prob, label_log_prob, output_length, target_length, fastemit_lambda
    )
    return ops.where(legal, cost, float("nan"))


def _joint_arc_log_probs(
    encoder: Any,
    predictor: Any,
    joiner: Any,
    inside: Any,
    label: Any,
    blank_id: int,
    fastemit_lambda: float,
    negligible: float,
) -> Any:
    """Log-softmax of the joint network at the blank and at each column's label.

    Args:
        encoder: Float tensor (batch, T, units), projected.
        predictor: Float tensor (batch, U + 1, units), projected.
        joiner: The joint network.
        inside: Bool tensor (batch, T, U + 1). Where it is False there is nothing to compute.
        label: Int tensor (batch, U + 1). Columns without a label hold the blank.
        blank_id: Integer, 0 or more.
        fastemit_lambda: Float, what the lattice scales the label's upstream gradient by, less 1.
        negligible: Float, see `joint_rnnt_loss`.

    Returns:
        Two float32 (float64 for a joiner in float64) tensors (batch, T, U + 1).
    """
    variables = joiner.output_projection.trainable_variables
    batch, frames, columns = ops.shape(inside)
    units = joiner.units
    dtype = "float64" if joiner.compute_dtype == "float64" else "float32"
    compute_dtype = encoder.dtype

    def logits_of(encoder: Any, predictor: Any, *weights: Any) -> Any:
        mapping = list(zip(variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return joiner.join(encoder, predictor)  # (cells, vocabulary)

    @custom_gradient
    def log_probs(encoder: Any, predictor: Any, *weights: Any) -> Any:
        encoder_rows = ops.reshape(encoder, (batch * frames, units))
        predictor_rows = ops.reshape(predictor, (batch * columns, units))

        def rows_of(cell: Any) -> tuple[Any, Any]:
            frame = cell // columns  # of all utterances' frames
            return frame, frame // frames * columns + cell % columns

        def labels_of(column: Any) -> Any:
            return ops.take(ops.reshape(label, (-1,)), column)

        def add_block(cells: PackedCells) -> Any:
            def body(i: Any, arcs: Any) -> tuple[Any]:
                cell, place = cells.block(i)
                frame, column = rows_of(cell)
                logits = logits_of(
                    ops.take(encoder_rows, frame, axis=0),
                    ops.take(predictor_rows, column, axis=0),
                    *weights,
                )
                logits = ops.cast(logits, dtype)
                log_sum_exp = ops.logsumexp(logits, axis=-1)
                at_label = ops.take_along_axis(logits, labels_of(column)[:, None], axis=-1)[:, 0]
                found = ops.stack([logits[:, blank_id], at_label], axis=1) - log_sum_exp[:, None]
                return (add_at(arcs, place[:, None], found),)

            return body

        cells = PackedCells(inside, joiner.vocabulary_size)
        arcs = ops.zeros((cells.capacity, 2), dtype)
        (arcs,) = loop(cells.blocks, add_block(cells), (arcs,))
        arcs = ops.reshape(arcs[: batch * frames * columns], (batch, frames, columns, 2))

        def gradient(for_blank: Any, for_label: Any) -> Any:
            total = ops.abs(for_blank + for_label)
            bound = negligible * upstream_of_loss(for_blank, for_label, fastemit_lambda)
            likely = (total > bound[:, None, None]) | ops.isnan(total)
            cells = PackedCells(inside & likely, joiner.vocabulary_size)
            upstream = ops.stack([for_blank, for_label], axis=-1)
            upstream = ops.reshape(upstream, (batch * frames * columns, 2))

            def body(i: Any, for_encoder: Any, for_predictor: Any, *for_weights: Any) -> Any:
                cell, place = cells.block(i)
                frame, column = rows_of(cell)
                for_cell = ops.take(upstream, cell, axis=0)  # (cells, 2)
                for_cell = ops.where((place == cell)[:, None], for_cell, ops.zeros((), dtype))
                one_hot_at = ops.arange(ops.shape(cell)[0], dtype="int32")

                def upstream_of(logits: Any) -> Any:
                    grad = ops.softmax(ops.cast(logits, dtype), axis=-1)
                    grad = grad * -ops.sum(for_cell, axis=1, keepdims=True)
                    blank = ops.full_like(cell, blank_id)
                    for arc, entry in enumerate((blank, labels_of(column))):
                        index = ops.stack([one_hot_at, entry], axis=1)
                        grad = add_at(grad, index, for_cell[:, arc])
                    return ops.cast(grad, logits.dtype)

                block_for_encoder, block_for_predictor, *block_for_weights = pull_back(
                    logits_of,
                    (
                        ops.take(encoder_rows, frame, axis=0),
                        ops.take(predictor_rows, column, axis=0),
                        *weights,
                    ),
                    upstream_of,
                )
                return (
                    add_at(for_encoder, frame[:, None], ops.cast(block_for_encoder, dtype)),
                    add_at(for_predictor, column[:, None], ops.cast(block_for_predictor, dtype)),
                    *(
                        whole + ops.cast(block, dtype)
                        for whole, block in zip(for_weights, block_for_weights, strict=True)
                    ),
                )

            state = (
                ops.zeros((batch * frames, units), dtype),
                ops.zeros((batch * columns, units), dtype),
                *(ops.zeros(weight.shape, dtype) for weight in weights),
            )
            for_encoder, for_predictor, *for_weights = loop(cells.blocks, body, state)
            return (
                ops.cast(ops.reshape(for_encoder, (batch, frames, units)), compute_dtype),
                ops.cast(ops.reshape(for_predictor, (batch, columns, units)), compute_dtype),
                *(
                    ops.cast(grad, weight.dtype)
                    for grad, weight in zip(for_weights, weights, strict=True)
                ),
            )

        return (arcs[..., 0], arcs[..., 1]), gradient

    weights = [ops.convert_to_tensor(variable) + 0.0 for variable in variables]
    return log_probs(encoder, predictor, *weights)
