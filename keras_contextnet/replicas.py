"""Sums over the replicas of `tf.distribute`, each of which sees its own part of a batch.

Under JAX there are no replicas: every operation sees the whole batch, wherever its parts lie.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras import ops


def num_replicas() -> int:
    """How many replicas take part in a step; 1 without a strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def strategy_scope(model: keras.Model) -> AbstractContextManager:
    """Where variables become those of every replica, if a model was made under a strategy."""
    strategy = getattr(model, "_distribute_strategy", None)
    return nullcontext() if strategy is None else strategy.scope()


def sum_over_replicas(tensor: Any) -> Any:
    """The sum of all replicas' tensors, to each of them; with its gradient."""
    if num_replicas() == 1:
        return tensor
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    # Outside of a step there is one model and one tensor, as where Keras asks for shapes.
    return tensor if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def share_of_replica(value: Any) -> Any:
    """Divides what every replica adds to the loss alike: gradients are summed over replicas."""
    replicas = num_replicas()
    return value if replicas == 1 else value / replicas


def mean_over_replicas(mean: Any, count: Any) -> Any:
    """The mean over a whole batch, from the means of its parts.

    Args:
        mean: Scalar, a replica's share in the mean, as Keras's losses return it: the mean over
            its part of the batch, divided by the number of replicas.
        count: Scalar, over how many utterances that is. Replicas may have different numbers.

    Returns:
        A scalar, the same on each replica: the batch's mean, divided by the number of replicas.
    """
    if num_replicas() == 1:
        return mean
    count = ops.cast(count, mean.dtype)
    total = sum_over_replicas(ops.stack([mean * count, count]))
    return total[0] / ops.maximum(total[1], 1.0)


def results_for_workers(results: dict[str, Any]) -> dict[str, Any]:
    """Metric results as Keras's step takes them from a replica.

    Over several workers, Keras (3.12 to 3.15) averages them along an axis that scalars lack.
    """
    if num_replicas() == 1:
        return results
    import tensorflow as tf

    if tf.distribute.in_cross_replica_context():
        return results
    if not tf.distribute.get_strategy().extended._in_multi_worker_mode():
        return results
    return {name: ops.reshape(result, (1,)) for name, result in results.items()}
