"""Joint network and RNN-T loss in one, without the lattice of logits in memory."""

from typing import Any

from keras import ops

from keras_contextnet.layers.masking import mask_from_length, zero_padding
from keras_contextnet.losses.arguments import (
    check_frames,
    check_regularisation,
    check_values,
    resolve_blank,
)
from keras_contextnet.losses.axes import check_axes, check_float
from keras_contextnet.losses.blocked_joint import BlockedJoint
from keras_contextnet.losses.lattice import IMPOSSIBLE, inside_lattice, lattice_cost
from keras_contextnet.losses.legal_labels import legal_labels
from keras_contextnet.losses.pruning import check_prune_range, is_kept


def joint_rnnt_loss(
    encoder_output: Any,
    predictor_output: Any,
    joiner: Any,
    target: Any,
    target_length: Any,
    output_length: Any,
    blank_id: int = 0,
    fastemit_lambda: float = 0.0,
    clamp: float | None = None,
    negligible: float = 1e-9,
    bounds: Any = None,
    prune_range: int | None = None,
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
        clamp: Float or None. Largest absolute entry of each loss's gradient with respect to the
            logits, see `rnnt_loss`.
        negligible: Float. The gradient leaves out lattice cells whose posterior probability is at
            most this. 1e-9 is less than float32 resolves; 0 leaves out only cells of none.
        bounds: Integer tensor (batch, T) or None. With it alignments keep to the columns of each
            frame from `bounds` on, as in `rnnt_loss_pruned`, and no others are computed.
        prune_range: Integer, columns of each frame that are kept, with `bounds` only.

    Returns:
        Float tensor (batch,), as `rnnt_loss` returns it, or `rnnt_loss_pruned` with `bounds`.

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
    check_regularisation(fastemit_lambda, clamp)
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    blank_log_prob, label_log_prob, legal = joint_arc_log_probs(
        encoder_output,
        predictor_output,
        joiner,
        target,
        target_length,
        output_length,
        blank_id,
        fastemit_lambda,
        clamp,
        negligible,
        bounds,
        prune_range,
    )
    cost = lattice_cost(
        blank_log_prob, label_log_prob, output_length, target_length, fastemit_lambda
    )
    return ops.where(legal, cost, float("nan"))


def joint_arc_log_probs(
    encoder_output: Any,
    predictor_output: Any,
    joiner: Any,
    target: Any,
    target_length: Any,
    output_length: Any,
    blank_id: int,
    fastemit_lambda: float = 0.0,
    clamp: float | None = None,
    negligible: float = 0.0,
    bounds: Any = None,
    prune_range: int | None = None,
) -> tuple[Any, Any, Any]:
    """Log-probabilities of the blank and of each label at every node of the lattice.

    Args: see `joint_rnnt_loss`.

    Returns:
        Two float tensors (batch, T, U + 1), and a boolean tensor (batch,), False where a compiled
        graph cannot raise for wrong lengths or labels.
    """
    encoder_output = ops.convert_to_tensor(encoder_output)
    predictor_output = ops.convert_to_tensor(predictor_output)
    target = ops.cast(target, "int32")
    check_axes(
        target=(target, ("batch", "U")),
        encoder_output=(encoder_output, ("batch", "T", "channels")),
        predictor_output=(predictor_output, ("batch", "U + 1", "units")),
        target_length=(target_length, ("batch",)),
        output_length=(output_length, ("batch",)),
    )
    check_float(encoder_output=encoder_output, predictor_output=predictor_output)
    check_frames(encoder_output=encoder_output)
    vocabulary = joiner.vocabulary_size
    blank_id = resolve_blank(blank_id, vocabulary)
    check_values(
        target, target_length, output_length, encoder_output.shape[1], vocabulary, blank_id
    )
    frames, columns = ops.shape(encoder_output)[1], ops.shape(predictor_output)[1]
    label, legal = legal_labels(target, target_length, output_length, frames, vocabulary, blank_id)
    if not joiner.built:
        joiner.build(encoder_output.shape, predictor_output.shape)
    selected = inside_lattice(frames, columns, output_length, target_length)
    if bounds is not None:
        check_prune_range(prune_range)
        kept = is_kept(ops.cast(bounds, "int32"), prune_range, columns)
        selected = ops.logical_and(selected, kept)
    joint = BlockedJoint(joiner, selected, label, blank_id, fastemit_lambda, clamp, negligible)
    # Without zeros for padding, NaN there would reach the gradient of the projections' weights.
    arcs = joint.arc_log_probs(
        joiner.encoder_projection(
            zero_padding(encoder_output, mask_from_length(output_length, frames))
        ),
        joiner.predictor_projection(
            zero_padding(predictor_output, mask_from_length(target_length + 1, columns))
        ),
    )
    if bounds is not None:
        arcs = [ops.where(kept, arc, ops.cast(IMPOSSIBLE, arc.dtype)) for arc in arcs]
    return *arcs, legal
