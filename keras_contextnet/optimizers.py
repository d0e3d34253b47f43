"""Adam in a few operators a variable, for CPUs and small batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

__all__ = ["FusedAdam"]


@keras.saving.register_keras_serializable(package="keras_contextnet")
class FusedAdam(keras.optimizers.Adam):
    """Adam whose whole update of a variable is one operator under TensorFlow.

    Keras's Adam takes a dozen operators a variable, each of which goes through memory: with the
    hundreds of variables of an encoder they take long to build and, on short batches, to run. The
    numbers are those of `keras.optimizers.Adam` but for rounding, and for rows of an embedding that
    occur several times in a batch: here their gradients are added before they are squared. The
    average of the weights (`use_ema`) is taken every `ema_every` steps, and weighs as much as one
    in each of them. Other backends, whose compilers fuse, do what `keras.optimizers.Adam` does.

    Args:
        learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`.
        ema_every: int, steps. How often the average is taken.
        **kwargs: of `keras.optimizers.Adam`, but for `amsgrad`.

    Raises:
        ValueError: if `ema_every` is not positive, or for `amsgrad`.

    Example:

    ```python
    import keras
    from keras_contextnet.optimizers import FusedAdam

    weight = keras.Variable([1.0])
    optimizer = FusedAdam(0.5)
    optimizer.apply([keras.ops.array([3.0])], [weight])
    print(round(float(weight[0]), 4))  # 0.5
    ```

    Source: Kingma and Ba, arXiv 1412.6980, the form before its section 2.1.
    """

    def __init__(self, learning_rate: Any = 1e-3, ema_every: int = 8, **kwargs: Any) -> None:
        if ema_every < 1:
            raise ValueError(f"Expected a positive `ema_every`. Received: ema_every={ema_every}")
        if kwargs.get("amsgrad"):
            raise ValueError("Received: amsgrad=True. Use keras.optimizers.Adam for it.")
        super().__init__(learning_rate, **kwargs)
        self.ema_every = ema_every

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            step = tf.cast(self.iterations + 1, tf.float32)
            # Tensors that all variables share, since a constant each would be most of the graph.
            self._shared = {
                "beta1_power": tf.pow(self.beta_1, step),
                "beta2_power": tf.pow(self.beta_2, step),
                "lr": tf.cast(learning_rate, tf.float32),
                "beta1": tf.constant(self.beta_1),
                "beta2": tf.constant(self.beta_2),
                "epsilon": tf.constant(self.epsilon),
            }
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        variable = _tensorflow_variable(variable)
        dtype = variable.dtype
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=_tensorflow_variable(self._momentums[index]).handle,
            v=_tensorflow_variable(self._velocities[index]).handle,
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
            **{name: tf.cast(value, dtype) for name, value in self._shared.items()},
        )

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        """Clips by the global norm without a pass over gradients that are short enough."""
        if keras.backend.backend() != "tensorflow" or not self.global_clipnorm:
            return super()._clip_gradients(grads)
        import tensorflow as tf

        grads = [None if grad is None else tf.convert_to_tensor(grad) for grad in grads]
        norm = tf.linalg.global_norm(grads)
        shrink = self.global_clipnorm / norm
        return tf.cond(
            norm <= self.global_clipnorm,
            lambda: grads,
            lambda: [None if grad is None else grad * shrink for grad in grads],
        )

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[Any]) -> None:
        """Takes the average in one of `ema_every` steps, with the momentum of all of them."""
        if not _takes_averages_in_some_steps():
            super()._update_model_variables_moving_average(trainable_variables)
            return
        past = ops.where(ops.equal(self.iterations, 0), 0.0, self.ema_momentum**self.ema_every)

        def average() -> None:
            averages = self._model_variables_moving_average
            for variable, mean in zip(trainable_variables, averages, strict=True):
                if mean is not None:
                    share = ops.cast(1.0 - past, mean.dtype)
                    mean.value.assign_sub((mean.value - variable.value) * share)

        ops.cond(ops.equal(self.iterations % self.ema_every, 0), average, lambda: None)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ema_every": self.ema_every}


def _takes_averages_in_some_steps() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False  # has no variables that a branch could change
    import tensorflow as tf

    return not tf.distribute.has_strategy()  # replicas cannot merge within a branch


def _tensorflow_variable(variable: Any) -> Any:
    return variable.value if isinstance(variable, keras.Variable) else variable
