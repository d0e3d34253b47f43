"""The averages of weights that an optimizer keeps (`use_ema`), in the place of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops


class AveragedWeights(keras.callbacks.Callback):
    """Evaluates with the averages, where the optimizer keeps some.

    Unlike `keras.callbacks.SwapEMAWeights` it finds optimizers inside of others however deep,
    swaps without arithmetic, so that training goes on with the very same numbers, and leaves the
    weights where there has been no step to average over yet.

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

    def on_test_begin(self, logs: Any = None) -> None:
        swap_averages(self.model)

    def on_test_end(self, logs: Any = None) -> None:
        swap_averages(self.model)


@contextmanager
def averages_in_place(model: keras.Model) -> Iterator[None]:
    """Runs a block while the model has the averages for weights."""
    swap_averages(model)
    try:
        yield
    finally:
        swap_averages(model)


def swap_averages(model: keras.Model) -> None:
    """Exchanges weights and averages, if there are any."""
    optimizer = model.optimizer
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    if not getattr(optimizer, "use_ema", False) or not optimizer.built:
        return
    if int(ops.convert_to_numpy(optimizer.iterations)) == 0:
        return
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
        if average is not None:
            value = ops.copy(variable)
            variable.assign(average)
            average.assign(value)
