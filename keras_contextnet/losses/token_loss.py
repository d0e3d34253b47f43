"""What all losses of token sequences have in common as Keras losses."""

from typing import Any

import keras
from keras import ops


class TokenLoss(keras.losses.Loss):
    """A Keras loss of tokens and their lengths. Subclasses' `call` returns costs (batch,).

    Args:
        blank_id: Integer, the vocabulary index of the blank; -1 is the last.
        reduction: String or None, as for any Keras loss.
        name: String.
        dtype: Dtype of the reduced loss.
    """

    def __init__(
        self,
        blank_id: int = 0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.blank_id = blank_id

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Keras's own casts both arguments to one float dtype, which would round tokens and copy
        # the logits, and takes a mask for one of losses. So only the costs are given to it.
        with keras.name_scope(self.name):
            costs = self.call(y_true, y_pred)
            reduce = _Reduction(reduction=self.reduction, dtype=self.dtype)
            return reduce(costs, costs, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "blank_id": self.blank_id, "dtype": self.dtype}


class _Reduction(keras.losses.Loss):
    """Keras's weighting and reduction of losses that are already there."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


def tokens_and_length(y_true: Any) -> tuple[Any, Any]:
    """Tokens (batch, U) and their count (batch,)."""
    if isinstance(y_true, dict):
        check_keys("y_true", y_true, ("tokens", "token_length"))
        return y_true["tokens"], y_true["token_length"]
    tokens = ops.convert_to_tensor(y_true)
    return tokens, ops.sum(ops.cast(tokens >= 0, "int32"), axis=-1)


def logits_and_length(y_pred: Any) -> tuple[Any, Any]:
    """Logits (batch, T, ..., vocabulary) and their frames (batch,)."""
    if isinstance(y_pred, dict):
        check_keys("y_pred", y_pred, ("logits", "frame_length"))
        return y_pred["logits"], y_pred["frame_length"]
    mask = getattr(y_pred, "_keras_mask", None)
    logits = ops.convert_to_tensor(y_pred)
    if mask is not None:
        return logits, ops.sum(ops.cast(mask, "int32"), axis=-1)
    return logits, ops.full(ops.shape(logits)[:1], ops.shape(logits)[1], dtype="int32")


def check_keys(name: str, value: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Raises ValueError unless a dictionary has the keys."""
    if not set(keys) <= set(value):
        raise ValueError(
            f"`{name}` as a dictionary has to have the keys {list(keys)}. "
            f"Received: keys {list(value)}"
        )
