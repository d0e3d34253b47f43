"""A mean that leaves out what is not finite, for the loss of an epoch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class FiniteMean(keras.metrics.Mean):
    """The weighted mean of all finite values since the last reset; 0 before any.

    Example:

    ```python
    from keras_contextnet.training.finite_mean import FiniteMean

    mean = FiniteMean()
    for loss in (1.0, float("nan"), 3.0):
        mean.update_state(loss)
    print(float(mean.result()))  # 2.0
    ```
    """

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values = ops.cast(values, self.dtype)
        finite = ops.isfinite(values)
        weight = 1.0 if sample_weight is None else ops.cast(sample_weight, self.dtype)
        weight = ops.cast(finite, self.dtype) * weight
        super().update_state(ops.where(finite, values, ops.zeros_like(values)), weight)

    def add_variable(self, *args: Any, **kwargs: Any) -> keras.Variable:
        # The loss is the same on every replica of a step. So one tells it, and a process can save
        # it without the others.
        return super().add_variable(*args, **{**kwargs, "aggregation": "only_first_replica"})


def track_finite_loss(model: keras.Model) -> FiniteMean:
    """Has a compiled model average its finite losses only; returns what does so."""
    tracker = getattr(model, "_loss_tracker", None)
    if not isinstance(tracker, FiniteMean):
        tracker = FiniteMean(name="loss")
        # As `compile` does, past Keras's tracking: the model lists its loss by itself.
        object.__setattr__(model, "_loss_tracker", tracker)
        model.train_function = model.test_function = None
    return tracker
