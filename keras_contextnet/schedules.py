"""Learning-rate schedules."""

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_contextnet")
class TransformerSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then decay with the inverse square root of the step.

    The Transformer's schedule (Vaswani et al. 2017, section 5.3), given by its peak rather than by
    a model width. ContextNet (section 3.1) warms up over 15k steps to a peak of 0.0025:

        rate(step) = peak * min(step / warmup, sqrt(warmup / step))

    As for the Transformer, steps count from one: the first update is not wasted on a rate of zero.

    Args:
        peak_learning_rate: Float, the rate at the end of the warm-up.
        warmup_steps: Integer, 1 or more, updates until the peak.
        name: String.

    Example:

    ```python
    import keras
    from keras_contextnet.schedules import TransformerSchedule

    optimizer = keras.optimizers.Adam(TransformerSchedule(1e-3, warmup_steps=500))
    ```
    """

    def __init__(
        self,
        peak_learning_rate: float = 0.0025,
        warmup_steps: int = 15000,
        name: str = "TransformerSchedule",
    ) -> None:
        super().__init__()
        if not peak_learning_rate > 0:
            raise ValueError(
                "`peak_learning_rate` has to be above 0. "
                f"Received: peak_learning_rate={peak_learning_rate}"
            )
        if not warmup_steps >= 1:
            raise ValueError(
                f"`warmup_steps` has to be 1 or more. Received: warmup_steps={warmup_steps}"
            )
        self.peak_learning_rate = peak_learning_rate
        self.warmup_steps = warmup_steps
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The rate of the update after `step` updates, a float32 scalar tensor."""
        step = ops.cast(step, "float32") + 1.0
        rising = step / self.warmup_steps
        falling = ops.sqrt(self.warmup_steps / step)
        return self.peak_learning_rate * ops.minimum(rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup_steps": self.warmup_steps,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="keras_contextnet")
class WarmupCosineSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then half a cosine down to zero at the end of the run.

    A run that is planned to its end usually gets further with it than with `TransformerSchedule`,
    which never comes down. With `s` the updates counted from one:

        rate(s) = peak * s / warmup                                          while s <= warmup
        rate(s) = peak * (1 + cos(pi * (s - warmup) / (total - warmup))) / 2      after that

    Args:
        peak_learning_rate: Float, the rate at the end of the warm-up.
        warmup_steps: Integer, 1 or more, updates until the peak.
        total_steps: Integer above `warmup_steps`, updates of the run. The rate stays zero after it.
        name: String.

    Example:

    ```python
    import keras
    from keras_contextnet.schedules import WarmupCosineSchedule

    schedule = WarmupCosineSchedule(1e-3, warmup_steps=500, total_steps=10_000)
    optimizer = keras.optimizers.Adam(schedule)
    ```

    Source: the decay is that of Loshchilov and Hutter, "SGDR", arXiv 1608.03983, equation 5,
    without restarts.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        warmup_steps: int,
        total_steps: int,
        name: str = "WarmupCosineSchedule",
    ) -> None:
        super().__init__()
        if not peak_learning_rate > 0:
            raise ValueError(
                "`peak_learning_rate` has to be above 0. "
                f"Received: peak_learning_rate={peak_learning_rate}"
            )
        if not 1 <= warmup_steps < total_steps:
            raise ValueError(
                "`warmup_steps` has to be 1 or more, and fewer than `total_steps`. Received: "
                f"warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.peak_learning_rate = peak_learning_rate
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The rate of the update after `step` updates, a float32 scalar tensor."""
        step = ops.cast(step, "float32") + 1.0
        rising = step / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        falling = 0.5 + 0.5 * ops.cos(math.pi * ops.clip(progress, 0.0, 1.0))
        return self.peak_learning_rate * ops.minimum(rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "name": self.name,
        }
