"""The RNN transducer loss, as a function and as a Keras loss."""

from typing import Any

import keras
from keras import ops

from keras_contextnet.losses.arc_log_probs import arc_log_probs
from keras_contextnet.losses.arguments import (
    check_regularisation,
    check_shapes,
    check_values,
    resolve_blank,
)
from keras_contextnet.losses.joint import joint_rnnt_loss
from keras_contextnet.losses.lattice import lattice_cost
from keras_contextnet.losses.legal_labels import legal_labels
from keras_contextnet.losses.token_loss import check_keys, logits_and_length, tokens_and_length
from keras_contextnet.losses.transducer_loss import TransducerLoss


def rnnt_loss(
    target: Any,
    output: Any,
    target_length: Any,
    output_length: Any,
    blank_id: int = 0,
    fastemit_lambda: float = 0.0,
    clamp: float | None = None,
) -> Any:
    """RNN transducer loss: the negative log-likelihood of each target.

    The probability of a target is the sum over all its alignments, each the product of one softmax
    entry per label and one blank per frame (Graves 2012, arXiv 1211.3711). `output` holds logits;
    the softmax is part of the loss. All arithmetic is done in float32, or in float64 for float64
    logits; the gradient has the dtype of `output`.

    Neither the values of `output` past an utterance's lengths nor those of `target` past its
    length matter, not even NaN.

    Args:
        target: Integer tensor (batch, U), the labels without blanks.
        output: Float tensor (batch, T, U + 1, vocabulary), logits: entry (t, u) scores what comes
            at frame t once u labels have been emitted.
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        blank_id: Integer, the vocabulary index of the blank. Negative ones count from the end, so
            -1 is the last.
        fastemit_lambda: Float, 0 or more. The gradient through label emissions is multiplied by
            one plus this, so that labels come out earlier (FastEmit, Yu et al. 2021,
            arXiv 2010.11148, equation 9). The value of the loss stays the likelihood's.
        clamp: Float or None. Largest absolute entry of each loss's gradient with respect to
            `output`, before it is scaled by what is upstream of the loss.

    Returns:
        Float tensor (batch,), float64 for float64 logits and float32 for all others. An utterance
        of no frames costs 0 if it has no labels. A target without any possible alignment (labels
        but no frames, or logits of minus infinity on every path) costs infinity. Both have a
        gradient of zero.

    Raises:
        ValueError: On a wrong rank, a `target` whose length does not fit `output`, a `blank_id`
            outside the vocabulary, a negative `fastemit_lambda` or a `clamp` that is not positive;
            and on lengths outside the tensors or labels that are outside the vocabulary or equal
            the blank, where their values are known (in eager execution).
            Inside a compiled graph such an utterance costs NaN.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import rnnt_loss

    loss = rnnt_loss(
        target=np.array([[3, 1], [2, 0]]),
        output=np.zeros((2, 4, 3, 5), "float32"),
        target_length=np.array([2, 1]),
        output_length=np.array([4, 3]),
        blank_id=4,
    )
    ```
    """
    output = ops.convert_to_tensor(output)
    target = ops.cast(target, "int32")
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    check_shapes(target, output, target_length, output_length)
    frames, vocabulary = ops.shape(output)[1], ops.shape(output)[3]
    blank_id = resolve_blank(blank_id, vocabulary)
    check_regularisation(fastemit_lambda, clamp)
    check_values(target, target_length, output_length, output.shape[1], vocabulary, blank_id)

    label, legal = legal_labels(target, target_length, output_length, frames, vocabulary, blank_id)
    blank_log_prob, label_log_prob = arc_log_probs(
        output, label[:, None], blank_id, fastemit_lambda, clamp
    )
    cost = lattice_cost(
        blank_log_prob, label_log_prob, output_length, target_length, fastemit_lambda
    )
    return ops.where(legal, cost, float("nan"))


@keras.saving.register_keras_serializable(package="keras_contextnet")
class RNNTLoss(TransducerLoss):
    """RNN transducer loss as a Keras loss; see `rnnt_loss` and `joint_rnnt_loss`.

    `y_true` is either a dictionary of `"tokens"` (batch, U) and `"token_length"` (batch,), or
    a tensor of tokens (batch, U) alone, whose negative entries at the end of a row are padding.

    `y_pred` is one of

    - a dictionary of `"logits"` (batch, T, U + 1, vocabulary) and `"frame_length"` (batch,);
    - a dictionary of `"encoder_output"` (batch, T, channels), `"predictor_output"`
      (batch, U + 1, units), `"joiner"` (the layer) and `"frame_length"`, whose logits are not
      kept in memory: this is what `ContextNet` gives;
    - the logits alone. They are T frames long, unless they carry a Keras mask (batch, T), whose
      true entries at the start of a row are the frames.

    Args:
        blank_id: Integer, the vocabulary index of the blank; -1 is the last.
        fastemit_lambda: Float, 0 or more. FastEmit regularisation of the gradient.
        clamp: Float or None. Largest absolute entry of the logits' gradient, see `rnnt_loss`.
        negligible: Float. Lattice cells that the gradient leaves out, see `joint_rnnt_loss`.
        reduction: String or None, as for any Keras loss.
        name: String.
        dtype: Dtype of the reduced loss. The lattice is always computed in float32 or better, and
            logits are taken in the dtype they have.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import RNNTLoss

    loss = RNNTLoss(blank_id=-1)
    value = loss(
        {"tokens": np.array([[3, 1], [2, 0]]), "token_length": np.array([2, 1])},
        {"logits": np.zeros((2, 4, 3, 5), "float32"), "frame_length": np.array([4, 3])},
    )
    ```
    """

    def __init__(
        self,
        blank_id: int = 0,
        fastemit_lambda: float = 0.0,
        clamp: float | None = None,
        negligible: float = 1e-9,
        reduction: str | None = "sum_over_batch_size",
        name: str = "rnnt_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(blank_id, fastemit_lambda, reduction, name, dtype)
        self.clamp = clamp
        self.negligible = negligible

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Costs (batch,), before reduction."""
        target, target_length = tokens_and_length(y_true)
        options = {
            "blank_id": self.blank_id,
            "fastemit_lambda": self.fastemit_lambda,
            "clamp": self.clamp,
        }
        if isinstance(y_pred, dict) and "joiner" in y_pred:
            check_keys("y_pred", y_pred, ("encoder_output", "predictor_output", "frame_length"))
            return joint_rnnt_loss(
                y_pred["encoder_output"],
                y_pred["predictor_output"],
                y_pred["joiner"],
                target,
                target_length,
                y_pred["frame_length"],
                negligible=self.negligible,
                **options,
            )
        logits, output_length = logits_and_length(y_pred)
        return rnnt_loss(target, logits, target_length, output_length, **options)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "clamp": self.clamp, "negligible": self.negligible}
