import csv

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.metrics import WordErrorRate
from keras_contextnet.training import train


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = {
        "audio": rng.normal(size=(2, 2000)).astype("float32"),
        "audio_length": np.array([2000, 1500], "int32"),
    }
    y = {"tokens": np.array([[8, 9], [20, 0]]), "token_length": np.array([2, 1])}
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, y)).batch(2)


class WeightsOfEpochs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append([np.array(w) for w in self.model.trainable_weights])


@pytest.fixture
def make_compiled(make_contextnet, quickly):
    def make_compiled(**arguments):
        model = make_contextnet()
        model.compile(keras.optimizers.SGD(1e-3), **quickly, **arguments)
        return model

    return make_compiled


def assert_weights(model, expected):
    for weight, value in zip(model.trainable_weights, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), value)


def rows_of(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_leaves_the_last_epoch_without_validation(make_compiled, data, tmp_path):
    model, record = make_compiled(), WeightsOfEpochs()
    history = train(model, data, tmp_path / "run", epochs=2, callbacks=[record], verbose=0)
    assert len(history.history["loss"]) == 2
    again = kc.ContextNet.from_preset(tmp_path / "run" / "preset", load_weights=True)
    assert_weights(again, record.weights[-1])
    assert [row["epoch"] for row in rows_of(tmp_path / "run")] == ["0", "1"]
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("with_rate", [True, False])
def test_leaves_the_best_epoch(with_rate, make_compiled, data, tmp_path, monkeypatch):
    """By word error rate where there is one, by loss where not."""
    metrics = [WordErrorRate(kc.text.CharacterTokenizer())] if with_rate else None
    model = make_compiled(metrics=metrics)
    record = WeightsOfEpochs()
    script = {"val_wer": [0.5, 0.2, 0.4], "val_loss": [3.0, 2.0, 1.0]}
    if not with_rate:
        script["val_loss"] = [1.0, 0.5, 2.0]
    evaluate = model.evaluate

    def scripted(*args, **arguments):
        epoch = len(record.weights)
        logs = evaluate(*args, **arguments)
        return {name: script[f"val_{name}"][epoch] for name in logs}

    monkeypatch.setattr(model, "evaluate", scripted)
    train(model, data, tmp_path, 3, validation_data=data, callbacks=[record], verbose=0)
    assert_weights(kc.ContextNet.from_preset(tmp_path / "preset"), record.weights[1])
    assert_weights(model, record.weights[1])


def test_interrupted_run_continues(make_compiled, data, tmp_path):
    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_compiled(), data, tmp_path, 3, callbacks=[Interruption()], verbose=0)
    assert not (tmp_path / "preset").exists()
    history = train(make_compiled(), data, tmp_path, epochs=3, verbose=0)
    assert history.epoch == [1, 2]
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["0", "1", "2"]
    assert (tmp_path / "preset" / "config.json").is_file()


def test_model_that_is_not_compiled_is_an_error(make_contextnet, data, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a compiled model"):
        train(make_contextnet(), data, tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()
