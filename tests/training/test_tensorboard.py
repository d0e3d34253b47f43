import builtins

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_contextnet.training.tensorboard import tensorboard_callback


def test_writes_what_every_epoch_gave(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class AddRate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["learning_rate"] = 0.25

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = (np.ones((4, 1)), np.ones((4, 1)))
    callbacks = [AddRate(), tensorboard_callback(tmp_path)]
    fit = {"initial_epoch": 3, "epochs": 5, "verbose": 0}
    history = model.fit(*data, validation_data=data, callbacks=callbacks, **fit).history
    for folder, prefix in (("train", ""), ("validation", "val_")):
        events = EventAccumulator(str(tmp_path / folder))
        events.Reload()
        written = [
            (event.step, float(tf.make_ndarray(event.tensor_proto)))
            for event in events.Tensors("epoch_loss")
        ]
        assert [step for step, _ in written] == [3, 4]
        values = [value for _, value in written]
        np.testing.assert_allclose(values, history[f"{prefix}loss"], rtol=1e-5)
    events = EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    assert "epoch_learning_rate" in events.Tags()["tensors"]


def test_without_tensorboard_the_error_names_the_extra(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *arguments):
        if name == "tensorboard":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "keras-contextnet\[tensorboard\]"'):
        tensorboard_callback(tmp_path)
