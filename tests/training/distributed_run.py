"""A run of 2 epochs of 3 batches of short recordings, on all devices that there are.

python distributed_run.py DATA FOLDER [STEP] prints the loss of each step and what epochs gave, as
JSON. With STEP, the run is interrupted after so many steps and started again.
"""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np

import keras_contextnet as kc
from keras_contextnet.training import distribute, train


class Interrupted(Exception):
    pass


class Losses(keras.callbacks.Callback):
    """Keeps each step's loss; interrupts the run after one of them, before it is saved."""

    def __init__(self, interrupt_after=None):
        super().__init__()
        self.losses, self.interrupt_after = [], interrupt_after

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))
        if len(self.losses) == self.interrupt_after:
            raise Interrupted


def write_recordings(folder):
    """Nine utterances of different lengths; the longest of each four is equally long."""
    import soundfile

    rng = np.random.default_rng(5)
    utterances = []
    for i in range(9):
        samples = (4800, 2560, 3700, 1900)[i % 4]
        path = folder / f"{i}.wav"
        soundfile.write(path, 0.1 * rng.normal(size=samples), 16000, subtype="FLOAT")
        text = ("a test", "of", "some", "words")[i % 4]
        utterances.append(kc.data.Utterance(str(i), path, text, samples / 16000))
    kc.data.write_manifest(folder / "manifest.jsonl", utterances)


def run(data, folder, distribution, interrupt_after=None):
    """Returns the loss of each step, and the history of the last start."""
    utterances = kc.data.read_manifest(data / "manifest.jsonl")
    tokenizer = kc.text.CharacterTokenizer()
    sizes = {"batch_size": 4 // distribution.devices, "devices": distribution.devices}
    plan = kc.data.EpochPlan(utterances, tokenizer, **sizes)
    dev = kc.data.EpochPlan(utterances[:3], tokenizer, **sizes)

    def batches(epoch, batch):
        return distribution.dataset(plan, start=(epoch, batch), repeat=True)

    def start(callback):
        keras.utils.set_random_seed(3)
        with distribution.scope():
            blocks = [{"filters": 8, "num_convs": 1, "strides": 4}]
            model = kc.ContextNet(
                encoder=kc.ContextNetEncoder(blocks=blocks),
                predictor=kc.Predictor(tokenizer.vocabulary_size + 1, embedding_size=8, units=8),
                joiner=kc.Joiner(tokenizer.vocabulary_size + 1, units=8),
                tokenizer=tokenizer,
                l2=1e-3,
            )
            model.compile(
                kc.optimizers.FusedAdam(0.01, ema_every=1, use_ema=True, ema_momentum=0.5),
                metrics=[kc.metrics.WordErrorRate(tokenizer)] if is_tensorflow() else None,
            )
            return train(
                model,
                batches,
                folder,
                epochs=2,
                plan=plan,
                validation_data=distribution.dataset(dev),
                callbacks=[callback],
                checkpoint_steps=1,
                verbose=0,
            )

    before = Losses(interrupt_after)
    if interrupt_after is not None:
        try:
            start(before)
        except Interrupted:
            before.losses.pop()
    after = Losses()
    history = start(after).history
    names = ("loss", "val_loss", "val_wer")
    return {
        "losses": before.losses + after.losses,
        "history": {name: history[name] for name in names if name in history},
    }


def is_tensorflow():
    """Whether the model computes with TensorFlow, whose steps measure error rates here."""
    return keras.backend.backend() == "tensorflow"


if __name__ == "__main__":
    if is_tensorflow() and "TF_CONFIG" not in os.environ:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    everywhere = distribute()
    result = run(Path(sys.argv[1]), Path(sys.argv[2]), everywhere, *map(int, sys.argv[3:]))
    print(json.dumps({"devices": everywhere.devices, **result}))
