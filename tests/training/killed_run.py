"""A run of 3 epochs of 6 batches, in a process of its own so that it can be killed.

python killed_run.py FOLDER [STEP], after which step of this process it kills itself: by SIGKILL, as
the kernel does when memory is short. Every step's loss goes to FOLDER/losses.txt.
"""

import os
import signal
import sys
from pathlib import Path

import keras
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
from memory_plan import MemoryPlan, make_model

from keras_contextnet.schedules import TransformerSchedule
from keras_contextnet.training import train


class Losses(keras.callbacks.Callback):
    """Writes epoch, step of the optimizer, learning rate and mean loss so far."""

    def __init__(self, path, kill_at):
        super().__init__()
        self.path, self.kill_at, self.steps = path, kill_at, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        optimizer = self.model.optimizer
        numbers = (int(optimizer.steps), float(optimizer.learning_rate), float(logs["loss"]))
        with open(self.path, "a") as file:
            print(self.epoch, *numbers, file=file)
        self.steps += 1
        if self.steps == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, kill_at=0):
    """Trains, from the start or from where the run was killed."""
    keras.utils.set_random_seed(5 if kill_at else 6)  # what a checkpoint holds needs no seed
    plan, model = MemoryPlan(), make_model()
    seeds = [v for v in model.non_trainable_variables if "seed" in v.path]
    if not (folder / "checkpoints").exists():
        for index, weight in enumerate(model.trainable_variables):
            draw = keras.random.normal(weight.shape, stddev=0.3, seed=index)
            weight.assign(draw)
        for index, seed in enumerate(seeds):
            seed.assign([index, 0])
    model.compile(
        keras.optimizers.Adam(TransformerSchedule(0.01, 5), use_ema=True, ema_momentum=0.9),
        metrics=[],
    )
    known = tf.data.experimental.assert_cardinality(2)
    validation = plan.dataset().take(2).apply(known)
    losses = Losses(folder / "losses.txt", kill_at)
    options = {"plan": plan, "checkpoint_steps": 4, "callbacks": [losses], "verbose": 2}
    train(model, plan.dataset, folder, 3, validation_data=validation, **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
