"""One run on several devices and hosts: each sees its part of every batch."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_contextnet.data import EpochPlan


class Distribution:
    """How the batches of a run are spread over devices: this one, not at all.

    `distribute` chooses one for the devices that there are.

    Attributes:
        devices: int. Devices of all hosts that share a batch: the `devices` of the run's
            `EpochPlan`.
    """

    devices = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process, of those that train together, is the one that writes files."""
        with self.scope():
            return is_chief()

    def scope(self) -> AbstractContextManager:
        """What model and optimizer are made in, trained and evaluated."""
        return nullcontext()

    def dataset(self, plan: EpochPlan, **arguments: Any) -> Any:
        """Makes what `fit` and `evaluate` take: this process's part of every batch of a plan.

        Args:
            plan: `keras_contextnet.data.EpochPlan` with this distribution's `devices`.
            **arguments: of `keras_contextnet.data.dataset_from_plan`, but for `part`.

        Raises:
            ValueError: if the plan is for another number of devices.
        """
        from keras_contextnet.data import dataset_from_plan

        self._check(plan)
        return dataset_from_plan(plan, **arguments)

    def _check(self, plan: EpochPlan) -> None:
        if plan.devices != self.devices:
            raise ValueError(
                f"Expected a `plan` for {self.devices} devices: EpochPlan(..., "
                f"devices={self.devices}). Received: plan.devices={plan.devices}"
            )


class TensorFlowDistribution(Distribution):
    """Batches spread by a `tf.distribute` strategy over its replicas.

    Args:
        strategy: `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy = strategy
        self.devices = strategy.num_replicas_in_sync

    def scope(self) -> AbstractContextManager:
        """The strategy's."""
        return self.strategy.scope()

    def dataset(self, plan: EpochPlan, **arguments: Any) -> Any:
        """Makes a distributed data set: each worker reads its own part of a batch, and no other."""
        import tensorflow as tf

        from keras_contextnet.data import dataset_from_plan

        self._check(plan)

        def parts(context: tf.distribute.InputContext) -> tf.data.Dataset:
            part = (context.input_pipeline_id, context.num_input_pipelines)
            dataset = dataset_from_plan(plan, **arguments, part=part)
            here = self.devices // context.num_input_pipelines
            if self.devices == 1 or here == 1:
                return dataset
            # Replicas take one element each.
            split = dataset.flat_map(lambda *batch: _rows_for_each(batch, here))
            if arguments.get("repeat"):
                split = split.apply(
                    tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
                )
            return split.prefetch(here)

        return self.strategy.distribute_datasets_from_function(parts)


class JAXDistribution(Distribution):
    """Batches spread by `keras.distribution.DataParallel` over all devices of all processes."""

    def __init__(self) -> None:
        # Keras would shard data sets by a batch size that is the same in every batch.
        self.parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        self.devices = self.parallel.num_model_replicas

    def scope(self) -> AbstractContextManager:
        """The distribution's."""
        return self.parallel.scope()

    def dataset(self, plan: EpochPlan, **arguments: Any) -> tf.data.Dataset:
        """Makes a data set of this process's rows, which are as long as those of the others."""
        import jax

        dataset = super().dataset(plan, **arguments)
        if jax.process_count() == 1:
            return dataset
        # Processes have to agree on the shape of a batch, so that each reads all of it.
        process, processes = jax.process_index(), jax.process_count()
        return dataset.map(lambda *batch: _rows_of_part(batch, process, processes))


def distribute() -> Distribution:
    """Chooses how to use every device that there is.

    Under TensorFlow this is `tf.distribute.MultiWorkerMirroredStrategy` where the environment has a
    `TF_CONFIG`, else `MirroredStrategy` over all GPUs, or all logical CPU devices without a GPU.
    Under JAX it is `keras.distribution.DataParallel` over all devices, those of other hosts
    too where `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `_NUM_PROCESSES` and `_PROCESS_ID` are set.

    Call it before anything else is computed. Statistics of batch norm and the loss are those of the
    whole batch, so that a run on several devices gives what one gives on the same batches.

    Returns:
        A `Distribution`.

    Raises:
        ValueError: under other backends.

    Example:

    ```python
    import keras
    import keras_contextnet as kc
    from keras_contextnet.training import distribute, train

    distribution = distribute()
    tokenizer = kc.text.CharacterTokenizer()
    plan = kc.data.EpochPlan(
        kc.data.example_utterances(),
        tokenizer,
        batch_size=5,  # of each device
        shuffle=True,
        devices=distribution.devices,
    )

    def batches(epoch, batch):
        return distribution.dataset(plan, start=(epoch, batch), repeat=True)

    with distribution.scope():
        model = kc.ContextNet(
            encoder=kc.ContextNetEncoder(blocks=[{"filters": 16, "num_convs": 1, "strides": 4}]),
            predictor=kc.Predictor(tokenizer.vocabulary_size + 1, embedding_size=16, units=16),
            joiner=kc.Joiner(tokenizer.vocabulary_size + 1, units=16),
            tokenizer=tokenizer,
        )
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
        train(model, batches, "runs/distributed_example", epochs=1, plan=plan, verbose=0)
    ```
    """
    backend = keras.backend.backend()
    if backend == "jax":
        if "KERAS_DISTRIBUTION_JOB_ADDRESSES" in os.environ:
            keras.distribution.initialize()
        return JAXDistribution()
    if backend != "tensorflow":
        raise ValueError(
            "Expected KERAS_BACKEND to be tensorflow or jax to train on several devices. Received: "
            f"{backend}"
        )
    import tensorflow as tf

    if os.environ.get("TF_CONFIG"):
        return TensorFlowDistribution(tf.distribute.MultiWorkerMirroredStrategy())
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [f"{device.device_type}:{number}" for number, device in enumerate(devices)]
    return TensorFlowDistribution(tf.distribute.MirroredStrategy(names))


def is_chief() -> bool:
    """Whether this process is the one of those that train together that writes files."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_index() == 0
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    cluster = tf.distribute.get_strategy().cluster_resolver
    if cluster is None or cluster.task_type is None:
        return True
    jobs = cluster.cluster_spec().jobs
    return cluster.task_type == "chief" or ("chief" not in jobs and cluster.task_id == 0)


def gather(number: int) -> list[int]:
    """The numbers of all processes that train together; each waits for the others."""
    if keras.backend.backend() == "jax":
        import jax

        if jax.process_count() > 1:
            from jax.experimental.multihost_utils import process_allgather

            return [int(n) for n in process_allgather(np.asarray(number))]
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.get_strategy()
        if strategy.num_replicas_in_sync > 1 and strategy.extended._in_multi_worker_mode():

            @tf.function
            def gather_in_graph() -> tf.Tensor:
                return strategy.gather(strategy.run(lambda: tf.constant([number])), axis=0)

            return [int(n) for n in gather_in_graph()]
    return [number]


def _rows_for_each(batch: Any, count: int) -> tf.data.Dataset:
    import tensorflow as tf

    def rows(tensor: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(tensor)
        return tf.reshape(tensor, tf.concat([[count, shape[0] // count], shape[1:]], axis=0))

    return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(rows, batch))


def _rows_of_part(batch: Any, part: int, parts: int) -> Any:
    import tensorflow as tf

    def rows(tensor: tf.Tensor) -> tf.Tensor:
        size = tf.shape(tensor)[0] // parts
        return tensor[part * size : (part + 1) * size]

    return tf.nest.map_structure(rows, batch)
