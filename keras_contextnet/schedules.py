"""Learning-rate schedules."""

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
