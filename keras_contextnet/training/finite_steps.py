"""An optimizer that leaves everything as it is where loss or gradients are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

REMEMBERED = 64


@keras.saving.register_keras_serializable(package="keras_contextnet")
class FiniteSteps(keras.optimizers.Optimizer):
    """Wraps an optimizer so that a step of a loss or gradients that are not finite is skipped.

    Such a step changes no weight, no slot, no average (`use_ema`) and no count of `iterations`, so
    that the learning rate does not move either. It is counted in `skipped`, a variable of the
    optimizer, so that nothing has to wait for the device in every step to know. Gradients whose
    squares overflow float32 count as not finite, since Adam's averages would.

    With `keras.optimizers.LossScaleOptimizer` (mixed_float16) inside, that one skips, and adapts
    its scale.

    Args:
        inner_optimizer: `keras.optimizers.Optimizer`.
        name: string.

    Raises:
        ValueError: if `inner_optimizer` is no optimizer.

    Example:

    ```python
    import keras
    from keras_contextnet.training import FiniteSteps

    weight = keras.Variable([1.0])
    optimizer = FiniteSteps(keras.optimizers.SGD(0.5))
    for gradient in (1.0, float("nan")):
        optimizer.apply([keras.ops.array([gradient])], [weight])
    print(float(weight[0]), int(optimizer.iterations), int(optimizer.skipped))  # 0.5 1 1
    ```
    """

    def __init__(self, inner_optimizer: Any, name: str = "finite_steps") -> None:
        if not isinstance(inner_optimizer, keras.optimizers.Optimizer):
            raise ValueError(
                "Expected `inner_optimizer` to be a keras.optimizers.Optimizer. Received: "
                f"inner_optimizer={inner_optimizer!r}"
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer

        def counter(name: str, shape: tuple[int, ...] = ()) -> keras.Variable:
            return self.add_variable(
                shape, "zeros", dtype="int32", aggregation="only_first_replica", name=name
            )

        self.steps = counter("steps")
        self.skipped = counter("skipped")
        self.skipped_at = counter("skipped_at", (REMEMBERED,))

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def last_skipped(self, since: int) -> list[int]:
        """Numbers of the skipped steps after the first `since` of them, the first step being 1.

        Only the last 64 are remembered.
        """
        total = int(ops.convert_to_numpy(self.skipped))
        remembered = ops.convert_to_numpy(self.skipped_at)
        first = max(since, total - REMEMBERED)
        return [int(remembered[index % REMEMBERED]) for index in range(first, total)]

    def scale_loss(self, loss: Any) -> Any:
        # Of a loss that is not finite no gradient is, so that gradients are all there is to check.
        scaled = self.inner_optimizer.scale_loss(loss)
        return scaled * ops.cast(ops.where(ops.isfinite(loss), 1.0, float("nan")), scaled.dtype)

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        if not self.built:
            self.build(list(trainable_variables))
        grads = list(grads)
        finite = _finite(grads)
        if keras.backend.backend() == "tensorflow":
            finite = self._apply_in_graph(finite, grads, trainable_variables)
        elif self._skips_by_itself or bool(finite):
            self.inner_optimizer.apply(grads, trainable_variables)
        self._count(finite)

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        grads, trainable_variables = list(grads), list(trainable_variables)
        own = list(optimizer_variables[: len(self._variables)])
        inner = list(optimizer_variables[len(self._variables) :])
        finite = _finite(grads)

        def step() -> tuple[list[Any], list[Any]]:
            return self.inner_optimizer.stateless_apply(inner, grads, trainable_variables)

        def no_step() -> tuple[list[Any], list[Any]]:
            return trainable_variables, inner

        moved = step() if self._skips_by_itself else ops.cond(finite, step, no_step)
        with keras.StatelessScope(list(zip(self._variables, own, strict=True))) as scope:
            self._count(finite)
        own = [scope.get_current_value(variable) for variable in self._variables]
        return moved[0], own + moved[1]

    @property
    def _skips_by_itself(self) -> bool:
        return isinstance(self.inner_optimizer, keras.optimizers.LossScaleOptimizer)

    def _count(self, finite: Any) -> None:
        skip = ops.logical_not(finite)
        self.steps.assign_add(1)
        place = ops.equal(ops.arange(REMEMBERED), self.skipped % REMEMBERED)
        here = ops.logical_and(skip, place)
        self.skipped_at.assign(ops.where(here, self.steps.value, self.skipped_at.value))
        self.skipped.assign_add(ops.cast(skip, "int32"))

    def _apply_in_graph(self, finite: Any, grads: list[Any], variables: Any) -> Any:
        """Applies TensorFlow's gradients under a condition; returns it as all replicas see it."""
        import tensorflow as tf

        # Of one device, too: its updates merge the replicas like those of many.
        replicated = tf.distribute.has_strategy()
        if replicated:
            # Each replica has the gradients of its own part of the batch.
            broken = tf.cast(tf.logical_not(finite), tf.int32)
            replica = tf.distribute.get_replica_context()
            finite = tf.equal(replica.all_reduce(tf.distribute.ReduceOp.SUM, broken), 0)
        if self._skips_by_itself:
            self.inner_optimizer.apply(grads, variables)
        elif not replicated:
            ops.cond(finite, lambda: self.inner_optimizer.apply(grads, variables), lambda: None)
        else:
            # An update merges the replicas, which no branch of a condition in one of them can do.
            replica.merge_call(self._apply_on_replicas, args=(finite, grads, variables))
        return finite

    def _apply_on_replicas(self, strategy: Any, finite: Any, grads: Any, variables: Any) -> None:
        finite = strategy.experimental_local_results(finite)[0]

        def step() -> None:
            strategy.extended.call_for_each_replica(
                self.inner_optimizer.apply, args=(grads, variables)
            )

        ops.cond(finite, step, lambda: None)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, the optimizer serialised."""
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {"inner_optimizer": inner, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FiniteSteps:
        inner = config["inner_optimizer"]
        if isinstance(inner, dict):
            inner = keras.saving.deserialize_keras_object(inner, custom_objects)
        return cls(**{**config, "inner_optimizer": inner})


def _finite(grads: Sequence[Any]) -> Any:
    """Whether the gradients' squared norm is finite, a boolean scalar."""
    # Gradients of embeddings come as slices under TensorFlow.
    values = [getattr(grad, "values", grad) for grad in grads if grad is not None]
    squares = [ops.sum(ops.square(ops.cast(value, "float32"))) for value in values]
    return ops.isfinite(ops.sum(ops.stack(squares)) if squares else np.float32(0))
