"""Two replicas, of which one gets a batch that is not finite; prints what they did."""

import json

import keras
import numpy as np
import tensorflow as tf

from keras_contextnet.training import FiniteSteps

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(FiniteSteps(keras.optimizers.Adam(0.01, use_ema=True)), "mse", jit_compile=False)

weights = []


class Weights(keras.callbacks.Callback):
    """Keeps the first weight of every step."""

    def on_train_batch_end(self, batch, logs=None):
        """Keeps it."""
        kernel = model.trainable_variables[0].value
        weights.append(
            [float(v.numpy()[0, 0]) for v in strategy.experimental_local_results(kernel)]
        )


x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
x[2] = np.nan  # the first replica's part of the second step
model.fit(x, np.ones((8, 1)), batch_size=2, shuffle=False, verbose=0, callbacks=[Weights()])
print(
    json.dumps(
        {
            "replicas": strategy.num_replicas_in_sync,
            "weights": weights,
            "iterations": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
            "skipped": model.optimizer.last_skipped(0),
        }
    )
)
