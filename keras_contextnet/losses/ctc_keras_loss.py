"""The CTC loss as a Keras loss."""

from typing import Any

import keras
from keras import ops

from keras_contextnet.losses.ctc import ctc_loss
from keras_contextnet.losses.token_loss import TokenLoss, logits_and_length, tokens_and_length


@keras.saving.register_keras_serializable(package="keras_contextnet")
class CTCLoss(TokenLoss):
    """CTC loss as a Keras loss; see `ctc_loss`.

    An utterance whose tokens cannot fit its frames costs 0 and has no gradient: one such utterance
    does not make the loss of a whole batch infinite.

    `y_true` is either a dictionary of `"tokens"` (batch, U) and `"token_length"` (batch,), or
    a tensor of tokens (batch, U) alone, whose negative entries at the end of a row are padding.
    `y_pred` is either a dictionary of `"logits"` (batch, T, vocabulary) and `"frame_length"`
    (batch,), which is what `ContextNetCTC` gives, or the logits alone. They are T frames long,
    unless they carry a Keras mask (batch, T), whose true entries at the start of a row are the
    frames.

    Args:
        blank_id: Integer, the vocabulary index of the blank; -1 is the last.
        reduction: String or None, as for any Keras loss.
        name: String.
        dtype: Dtype of the reduced loss. CTC itself is computed in float32 or better.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import CTCLoss

    loss = CTCLoss(blank_id=-1)
    value = loss(
        {"tokens": np.array([[3, 1], [2, 0]]), "token_length": np.array([2, 1])},
        {"logits": np.zeros((2, 4, 5), "float32"), "frame_length": np.array([4, 3])},
    )
    ```

    Source: Graves et al. 2006, "Connectionist Temporal Classification".
    """

    def __init__(
        self,
        blank_id: int = 0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ctc_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(blank_id, reduction, name, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Costs (batch,), before reduction."""
        target, target_length = tokens_and_length(y_true)
        logits, output_length = logits_and_length(y_pred)
        cost = ctc_loss(target, logits, target_length, output_length, self.blank_id)
        return ops.where(ops.isinf(cost), ops.zeros_like(cost), cost)
