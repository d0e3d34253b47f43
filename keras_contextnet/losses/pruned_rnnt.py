"""Pruned transducer training as one Keras loss."""

from typing import Any

import keras

from keras_contextnet.losses.joint import joint_rnnt_loss
from keras_contextnet.losses.pruning import check_prune_range, pruning_bounds
from keras_contextnet.losses.simple import check_scales, rnnt_loss_simple
from keras_contextnet.losses.token_loss import check_keys, tokens_and_length
from keras_contextnet.losses.transducer_loss import TransducerLoss


@keras.saving.register_keras_serializable(package="keras_contextnet")
class PrunedRNNTLoss(TransducerLoss):
    """RNN transducer loss on the few lattice columns of each frame that a simple joiner picks.

    total = simple_scale * rnnt_loss_simple(...) + pruned_scale * joint_rnnt_loss(..., bounds=...)

    An approximation that costs a fraction of `RNNTLoss`: the joint network runs on `prune_range`
    of the U + 1 columns. A `ContextNet` trains with it that has a `simple_joiner`.

    `y_true` is a dictionary of `"tokens"` (batch, U) and `"token_length"` (batch,), or such tokens
    padded with negative numbers. `y_pred` is a dictionary of `"encoder_output"`
    (batch, T, channels), `"predictor_output"` (batch, U + 1, units), `"frame_length"` (batch,) and
    the two layers `"joiner"` and `"simple_joiner"`.

    Args:
        blank_id: Integer, the vocabulary index of the blank; -1 is the last.
        prune_range: Integer, columns of each frame that are kept. An utterance of more than
            (prune_range - 1) labels a frame costs infinity.
        simple_scale: Float, weight of the simple joiner's loss, which trains that joiner.
        pruned_scale: Float, weight of the pruned loss.
        encoder_only_scale: Float, 0 to 1, smoothing of the simple loss, see `rnnt_loss_simple`.
        predictor_only_scale: Float, 0 to 1, smoothing of the simple loss.
        negligible: Float. The pruned loss's gradient leaves out cells of at most this posterior.
        fastemit_lambda: Float, 0 or more. FastEmit regularisation of both gradients.
        reduction: String or None, as for any Keras loss.
        name: String.
        dtype: Dtype of the reduced loss.

    Example:

    ```python
    import numpy as np
    import keras_contextnet as kc

    loss = kc.losses.PrunedRNNTLoss(blank_id=27)
    value = loss(
        {"tokens": np.ones((2, 7), "int32"), "token_length": np.array([7, 5])},
        {
            "encoder_output": np.zeros((2, 50, 320), "float32"),
            "predictor_output": np.zeros((2, 8, 640), "float32"),
            "frame_length": np.array([50, 40]),
            "joiner": kc.Joiner(vocabulary_size=28, units=64),
            "simple_joiner": kc.models.SimpleJoiner(vocabulary_size=28),
        },
    )
    ```

    Source: Kuang et al. 2022, arXiv 2206.13236; the default scales are icefall's.
    """

    def __init__(
        self,
        blank_id: int = 0,
        prune_range: int = 5,
        simple_scale: float = 0.5,
        pruned_scale: float = 1.0,
        encoder_only_scale: float = 0.0,
        predictor_only_scale: float = 0.25,
        negligible: float = 1e-6,
        fastemit_lambda: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "pruned_rnnt_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(blank_id, fastemit_lambda, reduction, name, dtype)
        check_prune_range(prune_range)
        check_scales(encoder_only_scale, predictor_only_scale)
        self.prune_range = prune_range
        self.simple_scale = simple_scale
        self.pruned_scale = pruned_scale
        self.encoder_only_scale = encoder_only_scale
        self.predictor_only_scale = predictor_only_scale
        self.negligible = negligible

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Costs (batch,), before reduction."""
        keys = ("encoder_output", "predictor_output", "frame_length", "joiner", "simple_joiner")
        check_keys("y_pred", y_pred, keys)
        encoder_output, predictor_output, frame_length, joiner, simple_joiner = (
            y_pred[key] for key in keys
        )
        if simple_joiner is None:
            raise ValueError(
                "Expected a model with a simple joiner, which PrunedRNNTLoss needs. Received: "
                "simple_joiner=None. Build it as ContextNet(..., simple_joiner=SimpleJoiner(...))."
            )
        target, target_length = tokens_and_length(y_true)
        options = {"blank_id": self.blank_id, "fastemit_lambda": self.fastemit_lambda}
        simple, occupancy = rnnt_loss_simple(
            target,
            *simple_joiner(encoder_output, predictor_output),
            target_length,
            frame_length,
            encoder_only_scale=self.encoder_only_scale,
            predictor_only_scale=self.predictor_only_scale,
            return_occupancy=True,
            **options,
        )
        bounds = pruning_bounds(*occupancy, target_length, frame_length, self.prune_range)
        pruned = joint_rnnt_loss(
            encoder_output,
            predictor_output,
            joiner,
            target,
            target_length,
            frame_length,
            negligible=self.negligible,
            bounds=bounds,
            prune_range=self.prune_range,
            **options,
        )
        return self.simple_scale * simple + self.pruned_scale * pruned

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "prune_range": self.prune_range,
            "simple_scale": self.simple_scale,
            "pruned_scale": self.pruned_scale,
            "encoder_only_scale": self.encoder_only_scale,
            "predictor_only_scale": self.predictor_only_scale,
            "negligible": self.negligible,
        }
