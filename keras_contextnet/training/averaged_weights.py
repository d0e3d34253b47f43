"""The averages of weights that an optimizer keeps (`use_ema`), in the place of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_contextnet.training.batch_norm_statistics import (
    estimate_moving_averages,
    hearing,
    moving_averages,
)


class AveragedWeights(keras.callbacks.Callback):
    """Evaluates with the averages, where the optimizer keeps some.

    Unlike `keras.callbacks.SwapEMAWeights` it finds optimizers inside of others however deep,
    swaps without arithmetic, so that training goes on with the very same numbers, leaves the
    weights where there has been no step to average over yet, and gives batch norm statistics that
    belong to the averages.

    Args:
        batches: function that makes batches of training data, pairs of model inputs and anything,
            which are heard once for every set of averages; None leaves batch norm as it is.
        count: int. How many of those batches; a momentum of 0.9 forgets what was before in 40.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_contextnet.training import AveragedWeights

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(use_ema=True), "mse")
    data = (np.ones((8, 1)), np.zeros((8, 1)))
    model.fit(*data, validation_data=data, callbacks=[AveragedWeights()], verbose=0)
    ```
    """

    def __init__(self, batches: Callable[[], Iterable[Any]] | None = None, count: int = 40) -> None:
        super().__init__()
        self.batches, self.count = batches, count
        self._hear: Callable[[Any], None] | None = None
        self._step: int | None = None  # of which `_estimated` are
        self._estimated: list[Any] = []

    def on_test_begin(self, logs: Any = None) -> None:
        if swap_averages(self.model) and self.batches is not None:
            self._live = _values(moving_averages(self.model))
            self._use_estimated_statistics(self.batches)

    def on_test_end(self, logs: Any = None) -> None:
        if swap_averages(self.model) and self.batches is not None:
            _assign(moving_averages(self.model), self._live)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # Estimates belong to whole batches, of which each process has a part: all have to make
        # them, at this moment, even if one process alone is going to save the averages.
        with self.in_place():
            pass

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Runs a block while the model has the averages for weights."""
        self.on_test_begin()
        try:
            yield
        finally:
            self.on_test_end()

    def _use_estimated_statistics(self, batches: Callable[[], Iterable[Any]]) -> None:
        step = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        if self._step == step:
            _assign(moving_averages(self.model), self._estimated)
            return
        if self._hear is None:
            self._hear = hearing(self.model)
        estimate_moving_averages(self._hear, batches(), self.count)
        self._step, self._estimated = step, _values(moving_averages(self.model))


def _values(variables: list[keras.Variable]) -> list[Any]:
    return [ops.copy(variable) for variable in variables]


def _assign(variables: list[keras.Variable], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def swap_averages(model: keras.Model) -> bool:
    """Exchanges weights and averages, if there are any; returns whether there are."""
    optimizer = model.optimizer
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    if not getattr(optimizer, "use_ema", False) or not optimizer.built:
        return False
    if int(ops.convert_to_numpy(optimizer.iterations)) == 0:
        return False
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
        if average is not None:
            value = ops.copy(variable)
            variable.assign(average)
            average.assign(value)
    return True
