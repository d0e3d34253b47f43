"""What the transducer losses have in common as Keras losses."""

from typing import Any

from keras_contextnet.losses.token_loss import TokenLoss


class TransducerLoss(TokenLoss):
    """A Keras loss of a transducer's lattice. Subclasses' `call` returns costs (batch,).

    Args:
        blank_id: Integer, the vocabulary index of the blank; -1 is the last.
        fastemit_lambda: Float, 0 or more. FastEmit regularisation of the gradient.
        reduction: String or None, as for any Keras loss.
        name: String.
        dtype: Dtype of the reduced loss.
    """

    def __init__(
        self,
        blank_id: int = 0,
        fastemit_lambda: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(blank_id, reduction, name, dtype)
        self.fastemit_lambda = fastemit_lambda

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "fastemit_lambda": self.fastemit_lambda}
