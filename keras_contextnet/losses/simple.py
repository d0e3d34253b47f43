"""The transducer loss of a joint network that only adds."""

from typing import Any

from keras import ops

from keras_contextnet.layers.masking import mask_from_length, zero_padding
from keras_contextnet.losses.arguments import check_regularisation, check_values, resolve_blank
from keras_contextnet.losses.axes import check_axes, check_float
from keras_contextnet.losses.lattice import lattice_cost
from keras_contextnet.losses.legal_labels import legal_labels
from keras_contextnet.losses.occupancy import lattice_cost_and_occupancy
from keras_contextnet.losses.sum_joint import sum_joint_log_probs


def rnnt_loss_simple(
    target: Any,
    encoder_logits: Any,
    predictor_logits: Any,
    target_length: Any,
    output_length: Any,
    blank_id: int = 0,
    encoder_only_scale: float = 0.0,
    predictor_only_scale: float = 0.0,
    fastemit_lambda: float = 0.0,
    return_occupancy: bool = False,
) -> Any:
    """RNN transducer loss of the logits encoder_logits[t] + predictor_logits[u].

    Equals `rnnt_loss` of those sums, without ever making the tensor (batch, T, U + 1, vocabulary)
    of them. It is the first of the two losses of pruned training, which shows where each utterance
    passes through its lattice (Kuang et al. 2022, arXiv 2206.13236, section 3):

    total = simple_scale * rnnt_loss_simple(...) + pruned_scale * rnnt_loss_pruned(...)

    Both scales below smooth the loss early in training: the log-probability of each arc is
    interpolated with what the predictor alone gives, and with what the encoder gives beside
    a predictor that knows no history, its average over all columns of the batch. With an
    `encoder_only_scale` the losses of a batch are therefore not independent.

    Logits may lie further apart than float32 can hold the exponentials of: the softmax is exact
    as long as some entry is within 112 of both its encoder's and its predictor's largest, added
    up. Beyond, probabilities come out smaller than they are. Values in padding do not matter, not
    even NaN.

    Args:
        target: Integer tensor (batch, U), the labels without blanks.
        encoder_logits: Float tensor (batch, T, vocabulary).
        predictor_logits: Float tensor (batch, U + 1, vocabulary).
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        blank_id: Integer, the vocabulary index of the blank. Negative ones count from the end.
        encoder_only_scale: Float, 0 to 1, the share of the encoder alone.
        predictor_only_scale: Float, 0 to 1, the share of the predictor alone. The rest to one is
            that of the sum of both.
        fastemit_lambda: Float, 0 or more, as of `rnnt_loss`.
        return_occupancy: Boolean. Whether to return the arcs' posteriors too, for
            `pruning_bounds`.

    Returns:
        Float tensor (batch,), as `rnnt_loss`. With `return_occupancy` a pair of this and a pair of
        float tensors (batch, T, U + 1): the posterior probability of an alignment's taking the
        blank at (t, u), and of its emitting label u + 1 there. They carry no gradient.

    Raises:
        ValueError: On shapes that do not fit each other, scales outside their range, and on what
            `rnnt_loss` raises it.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import rnnt_loss_simple

    cost, (blank, label) = rnnt_loss_simple(
        target=np.array([[3, 1], [2, 0]]),
        encoder_logits=np.zeros((2, 4, 5), "float32"),
        predictor_logits=np.zeros((2, 3, 5), "float32"),
        target_length=np.array([2, 1]),
        output_length=np.array([4, 3]),
        blank_id=4,
        return_occupancy=True,
    )
    ```
    """
    encoder_logits = ops.convert_to_tensor(encoder_logits)
    predictor_logits = ops.convert_to_tensor(predictor_logits)
    target = ops.cast(target, "int32")
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    check_axes(
        target=(target, ("batch", "U")),
        encoder_logits=(encoder_logits, ("batch", "T", "vocabulary")),
        predictor_logits=(predictor_logits, ("batch", "U + 1", "vocabulary")),
        target_length=(target_length, ("batch",)),
        output_length=(output_length, ("batch",)),
    )
    check_float(encoder_logits=encoder_logits, predictor_logits=predictor_logits)
    check_scales(encoder_only_scale, predictor_only_scale)
    check_regularisation(fastemit_lambda)
    _, frames, vocabulary = ops.shape(encoder_logits)
    static_frames = encoder_logits.shape[1]
    blank_id = resolve_blank(blank_id, vocabulary)
    check_values(target, target_length, output_length, static_frames, vocabulary, blank_id)

    label, legal = legal_labels(target, target_length, output_length, frames, vocabulary, blank_id)
    columns = ops.shape(predictor_logits)[1]
    is_frame = mask_from_length(output_length, frames)  # (batch, T)
    is_column = mask_from_length(target_length + 1, columns)  # (batch, U + 1)
    dtype = "float64" if encoder_logits.dtype == predictor_logits.dtype == "float64" else "float32"
    blank_log_prob, label_log_prob = sum_joint_log_probs(
        # A product with NaN of no weight is NaN.
        zero_padding(ops.cast(encoder_logits, dtype), is_frame),
        zero_padding(ops.cast(predictor_logits, dtype), is_column),
        label,
        blank_id,
        is_column,
        encoder_only_scale,
        predictor_only_scale,
    )
    arcs = (blank_log_prob, label_log_prob, output_length, target_length, fastemit_lambda)
    if not return_occupancy:
        return ops.where(legal, lattice_cost(*arcs), float("nan"))
    cost, occupancy = lattice_cost_and_occupancy(*arcs)
    return ops.where(legal, cost, float("nan")), occupancy


def check_scales(encoder_only_scale: float, predictor_only_scale: float) -> None:
    """Raises ValueError unless both are shares of one."""
    if min(encoder_only_scale, predictor_only_scale) < 0 or (
        encoder_only_scale + predictor_only_scale > 1
    ):
        raise ValueError(
            "`encoder_only_scale` and `predictor_only_scale` have to be 0 or more, and at most 1 "
            f"together. Received: encoder_only_scale={encoder_only_scale}, "
            f"predictor_only_scale={predictor_only_scale}"
        )
