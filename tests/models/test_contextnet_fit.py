"""`compile`, `fit`, `evaluate`, saving and callbacks, as for any Keras model."""

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.losses import PrunedRNNTLoss, RNNTLoss
from keras_contextnet.metrics import CharacterErrorRate, WordErrorRate


def weights_of(model):
    return [np.array(weight) for weight in model.trainable_weights]


def error_rates(model):
    return [WordErrorRate(model.tokenizer), CharacterErrorRate(model.tokenizer)]


def dataset_of(batch):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(batch).batch(2)


@pytest.mark.parametrize("kind", ["audio", "bare audio", "features", "dataset"])
def test_fit_takes(kind, make_contextnet, quickly, batch):
    """The dataset is taken by a compiled step, the others by what runs fastest."""
    x, y = batch
    model = make_contextnet()
    if kind == "bare audio":
        x = x["audio"]
    if kind == "features":
        x = {"features": np.asarray(model.frontend(x["audio"])), "features_length": [25, 16]}
        x["features_length"] = np.array(x["features_length"])
    model.compile(keras.optimizers.Adam(1e-3), **({} if kind == "dataset" else quickly))
    before = weights_of(model)
    data = (dataset_of(batch),) if kind == "dataset" else (x, y)
    history = model.fit(*data, epochs=2, verbose=0).history
    assert list(history) == ["loss"]
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][1] < history["loss"][0]
    for weight, old, new in zip(model.trainable_weights, before, weights_of(model), strict=True):
        assert np.abs(new - old).max() > 0, weight.path


class LossOfLogits(keras.losses.Loss):
    """A loss that knows nothing of joiners."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        assert set(y_pred) == {"logits", "frame_length"}
        return RNNTLoss(blank_id=-1)(y_true, y_pred)


def test_the_default_loss_is_that_of_the_whole_lattice(make_contextnet, quickly, batch):
    """Loss and every weight after two steps, made without the lattice and with it."""
    losses, weights = [], []
    for loss in (None, LossOfLogits()):
        model = make_contextnet()
        model.compile(keras.optimizers.SGD(1e-3), loss=loss, **quickly)
        losses.append(model.fit(*batch, epochs=2, verbose=0).history["loss"])
        weights.append(weights_of(model))
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for fused, materialised in zip(*weights, strict=True):
        np.testing.assert_allclose(fused, materialised, atol=1e-5)


def test_pruned_training(make_contextnet, quickly, batch, tmp_path):
    model = make_contextnet(simple_joiner=kc.models.SimpleJoiner(29))
    model.compile(keras.optimizers.Adam(1e-3), loss=PrunedRNNTLoss(-1, prune_range=2), **quickly)
    before = weights_of(model)
    history = model.fit(*batch, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for weight, old, new in zip(model.trainable_weights, before, weights_of(model), strict=True):
        assert np.abs(new - old).max() > 0, weight.path

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.loss, PrunedRNNTLoss)
    for weight, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_evaluate_and_validation_give_error_rates(make_contextnet, batch):
    """Against the metrics fed with `predict`'s tokens, in batches of one."""
    x, y = batch
    model = make_contextnet()
    model.compile(keras.optimizers.SGD(0.0), metrics=error_rates(model))
    results = model.evaluate(x, y, batch_size=1, return_dict=True, verbose=0)
    assert sorted(results) == ["cer", "loss", "wer"]
    outputs = model.predict(x, batch_size=2, verbose=0)
    texts = [
        model.tokenizer.decode(tokens[:count])
        for tokens, count in zip(outputs["tokens"], outputs["token_length"], strict=True)
    ]
    references = [
        model.tokenizer.decode(tokens[:count])
        for tokens, count in zip(y["tokens"], y["token_length"], strict=True)
    ]
    for name, metric in (("wer", WordErrorRate()), ("cer", CharacterErrorRate())):
        metric.update_state(references, texts)
        assert results[name] == pytest.approx(float(metric.result()), rel=1e-5)
    assert results["cer"] > 0
    history = model.fit(x, y, validation_data=(x, y), epochs=2, verbose=0).history
    assert set(history) >= {"loss", "val_loss", "val_wer", "val_cer"}
    assert np.isfinite(history["val_cer"]).all()


def test_perfect_tokens_have_no_errors(make_contextnet, quickly, batch):
    x, y = batch
    model = make_contextnet()
    outputs = model.predict_on_batch(x)
    y = {"tokens": np.maximum(outputs["tokens"], 0), "token_length": outputs["token_length"]}
    model.compile(metrics=error_rates(model), **quickly)
    results = model.evaluate(x, y, return_dict=True, verbose=0)
    assert results["wer"] == results["cer"] == 0


def test_fastemit_reaches_the_gradient(make_contextnet, quickly, batch):
    x, y = batch
    steps = []
    for fastemit_lambda in (0.0, 0.0, 1.0):
        model = make_contextnet()
        model.compile(keras.optimizers.SGD(0.1), loss=RNNTLoss(28, fastemit_lambda), **quickly)
        model.fit(x, y, verbose=0)
        steps.append(weights_of(model))
    same, other = (
        max(np.abs(a - b).max() for a, b in zip(steps[0], step, strict=True)) for step in steps[1:]
    )
    assert other > 1e-3 > 100 * same


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_fit(policy, make_contextnet, quickly, batch):
    """float16 goes through Keras's loss scale, which skips steps until it is low enough."""
    keras.config.set_dtype_policy(policy)
    model = make_contextnet()
    model.compile(keras.optimizers.Adam(1e-3), **quickly)
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    history = model.fit(*batch, epochs=12, verbose=0).history["loss"]
    keras.config.set_dtype_policy("float32")
    full = make_contextnet()
    full.compile(keras.optimizers.Adam(1e-3), **quickly)
    full_loss = full.fit(*batch, verbose=0).history["loss"]
    assert history[0] == pytest.approx(full_loss[0], rel=0.05)
    assert history[-1] < history[0]


def test_keras_file_keeps_optimizer_and_metrics(make_contextnet, quickly, batch, tmp_path):
    """Training that goes on from the file is training that was never interrupted."""
    x, y = batch
    path = tmp_path / "model.keras"
    model = make_contextnet(l2=1e-4)
    model.compile(keras.optimizers.Adam(1e-3), metrics=error_rates(model), **quickly)
    model.fit(x, y, epochs=2, verbose=0)
    model.save(path)
    again = keras.models.load_model(path)
    assert isinstance(again, kc.ContextNet)
    assert int(again.optimizer.iterations) == 2
    expected, outputs = model.predict_on_batch(x), again.predict_on_batch(x)
    for name, value in expected.items():
        np.testing.assert_array_equal(outputs[name], value, err_msg=name)
    results = [m.evaluate(x, y, return_dict=True, verbose=0) for m in (model, again)]
    assert results[0] == pytest.approx(results[1], rel=1e-5)
    assert sorted(results[1]) == ["cer", "loss", "wer"]
    losses = [m.fit(x, y, epochs=2, verbose=0).history["loss"] for m in (model, again)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_weights_file_round_trip(make_contextnet, batch, tmp_path):
    model, other = make_contextnet(), make_contextnet(seed=8)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    expected = model.predict_on_batch(batch[0])["tokens"]
    np.testing.assert_array_equal(other.predict_on_batch(batch[0])["tokens"], expected)


def test_callbacks_work(make_contextnet, quickly, batch, tmp_path):
    model = make_contextnet()
    model.compile(keras.optimizers.Adam(1e-3), metrics=error_rates(model), **quickly)
    callbacks = [
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", monitor="val_cer", mode="min", save_best_only=True
        ),
        keras.callbacks.ModelCheckpoint(tmp_path / "last.weights.h5", save_weights_only=True),
    ]
    if keras.backend.backend() == "tensorflow":
        callbacks.append(keras.callbacks.TensorBoard(tmp_path / "board", histogram_freq=1))
    history = model.fit(
        *batch, validation_data=batch, epochs=2, verbose=0, callbacks=callbacks
    ).history
    best = keras.models.load_model(tmp_path / "best.keras")
    results = best.evaluate(*batch, return_dict=True, verbose=0)
    assert results["cer"] == pytest.approx(min(history["val_cer"]), rel=1e-5)
    last = make_contextnet(seed=8)
    last.load_weights(tmp_path / "last.weights.h5")
    for a, b in zip(weights_of(last), weights_of(model), strict=True):
        np.testing.assert_array_equal(a, b)
    if keras.backend.backend() == "tensorflow":
        assert list((tmp_path / "board").rglob("events.out.tfevents.*"))


def test_backup_and_restore_continues(make_contextnet, quickly, batch, tmp_path):
    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def run(epochs, *callbacks, backup=True):
        model = make_contextnet()
        model.compile(keras.optimizers.Adam(1e-3), **quickly)
        restore = [keras.callbacks.BackupAndRestore(tmp_path / "backup")] if backup else []
        history = model.fit(*batch, epochs=epochs, verbose=0, callbacks=[*callbacks, *restore])
        return history.history["loss"]

    whole = run(4, backup=False)
    with pytest.raises(KeyboardInterrupt):
        run(4, Interruption())
    assert run(4) == pytest.approx(whole[2:], rel=1e-4)


def test_learns_two_utterances(make_contextnet, examples):
    """Real speech, real targets: the loss falls to a third in 40 steps."""
    from keras_contextnet.data import load_audio

    shortest = sorted(examples, key=lambda example: example["duration"])[:2]
    waveforms = [load_audio(example["audio"]) for example in shortest]
    model = make_contextnet(decisive=False)
    tokens = [model.tokenizer.encode(example["text"]) for example in shortest]
    x = {
        "audio": np.stack([np.pad(w, (0, 42000 - len(w))) for w in waveforms]),
        "audio_length": np.array([len(w) for w in waveforms]),
    }
    y = {
        "tokens": np.stack([np.pad(t, (0, 40 - len(t))) for t in tokens]),
        "token_length": np.array([len(t) for t in tokens]),
    }
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(x, y, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 3


@pytest.mark.tensorflow_only
def test_training_step_is_traced_once(make_contextnet, batch, monkeypatch):
    """Tracing is most of the first step's time; Keras alone does it twice."""
    model = make_contextnet()
    model.compile("adam")
    traces = []
    train_step = model.train_step
    monkeypatch.setattr(model, "train_step", lambda data: traces.append(1) or train_step(data))
    for _ in range(2):
        model.fit(*batch, verbose=0)
    assert len(traces) == 1
