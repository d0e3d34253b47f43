import csv
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import killed_run
import numpy as np
import pytest
from memory_plan import MemoryPlan

import keras_contextnet as kc
from keras_contextnet.metrics import WordErrorRate
from keras_contextnet.training import FiniteSteps, LearningCurve, train

draw = LearningCurve._draw


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Drawing takes longer than these epochs."""
    monkeypatch.setattr(LearningCurve, "_draw", lambda curve: None)


class WeightsOfEpochs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(numbers(self.model))


class Interruption(keras.callbacks.Callback):
    """Raises after a batch of an epoch, or before the first one."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.place = (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.place == (epoch, None):
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        if self.place == (self.epoch, batch):
            raise KeyboardInterrupt


class Losses(keras.callbacks.Callback):
    """The mean loss of the epoch so far, after every step."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def numbers(model):
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.trainable_weights]


def assert_weights(model, expected):
    for weight, value in zip(numbers(model), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def rows_of(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def interrupt(*arguments, at, **options):
    with pytest.raises(KeyboardInterrupt):
        train(*arguments, **options, callbacks=[Interruption(*at)], verbose=0)


@pytest.fixture
def data(plan):
    return plan.dataset().take(3).cache().apply(known(3))


def known(count):
    import tensorflow as tf

    return tf.data.experimental.assert_cardinality(count)


def test_leaves_the_last_epoch_without_validation(make_compiled, data, tmp_path, monkeypatch):
    monkeypatch.setattr(LearningCurve, "_draw", draw)
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


def test_a_run_killed_amid_an_epoch_goes_on_as_if_nothing_had_been(tmp_path):
    """SIGKILL after 11 of 18 steps; the last checkpoint is of step 10, in the second epoch."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    script = Path(killed_run.__file__)
    process = subprocess.run([sys.executable, script, killed, "11"], capture_output=True)
    assert process.returncode == -signal.SIGKILL
    before = (killed / "losses.txt").read_text().splitlines()
    assert len(before) == 11
    # A killed run leaves the model of its best epoch.
    kc.ContextNet.from_preset(killed / "preset", load_weights=True)

    killed_run.main(killed)
    killed_run.main(whole)
    expected = np.loadtxt(whole / "losses.txt")
    resumed = np.loadtxt(killed / "losses.txt")
    # epoch, step, learning rate, mean loss of the epoch so far
    assert resumed[11:, 1].tolist() == list(range(11, 19))
    np.testing.assert_allclose(resumed[:11], expected[:11], rtol=1e-6)
    np.testing.assert_allclose(resumed[11:], expected[10:], rtol=1e-6)
    same = ("epoch", "loss", "val_loss", "learning_rate", "skipped")
    for row, other in zip(rows_of(killed), rows_of(whole), strict=True):
        np.testing.assert_allclose(*[[float(r[name]) for name in same] for r in (row, other)])
    models = [kc.ContextNet.from_preset(folder / "preset") for folder in (killed, whole)]
    for weight, other in zip(*map(numbers, models), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-6, atol=1e-8)


def test_data_that_cannot_be_entered_anywhere_begin_their_epoch_anew(make_compiled, data, tmp_path):
    whole, losses = Losses(), Losses()
    train(make_compiled(), data, tmp_path / "a", 3, callbacks=[whole], verbose=0)
    run = (tmp_path / "b", 3)
    interrupt(make_compiled(), data, *run, at=(1, 1), checkpoint_steps=1)
    history = train(make_compiled(), data, *run, callbacks=[losses], verbose=0)
    assert history.epoch == [1, 2]
    np.testing.assert_allclose(losses.losses, whole.losses[3:], rtol=1e-6)
    assert [row["epoch"] for row in rows_of(tmp_path / "b")] == ["0", "1", "2"]


def test_the_curve_goes_on(make_compiled, data, tmp_path, monkeypatch):
    curves = []
    monkeypatch.setattr(LearningCurve, "_draw", lambda curve: curves.append(curve.history))
    interrupt(make_compiled(), data, tmp_path, 2, at=(1, None))
    train(make_compiled(), data, tmp_path, 2, verbose=0)
    assert [epoch for epoch, _ in curves[-1]["loss"]] == [1, 2]
    assert curves[-1]["learning_rate"] == [(1, pytest.approx(1e-3)), (2, pytest.approx(1e-3))]


def test_a_run_that_is_done_is_left_as_it_is(make_compiled, plan, tmp_path):
    train(make_compiled(), plan.dataset, tmp_path, 1, plan=plan, verbose=0)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    model = make_compiled()
    history = train(model, plan.dataset, tmp_path, 1, plan=plan, verbose=0)
    assert history.epoch == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == files | {
        tmp_path / "train.log": (tmp_path / "train.log").stat().st_mtime_ns
    }
    assert_weights(model, numbers(kc.ContextNet.from_preset(tmp_path / "preset")))
    assert train(model, plan.dataset, tmp_path, 2, plan=plan, verbose=0).epoch == [1]


def test_what_was_recorded_after_the_last_checkpoint_is_recorded_anew(
    make_compiled, plan, tmp_path
):
    """As if the power had failed between the row of the second epoch and its checkpoint."""
    train(make_compiled(), plan.dataset, tmp_path, 2, plan=plan, verbose=0)
    rows = rows_of(tmp_path)
    max((tmp_path / "checkpoints").glob("*.npz")).unlink()
    train(make_compiled(), plan.dataset, tmp_path, 2, plan=plan, verbose=0)
    assert [row["loss"] for row in rows_of(tmp_path)] == [row["loss"] for row in rows]


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(make_compiled, plan, tmp_path):
    options = {"plan": plan, "checkpoint_steps": 2}
    interrupt(make_compiled(), plan.dataset, tmp_path, 1, at=(0, 4), **options)
    newest = max((tmp_path / "checkpoints").glob("*.npz"))
    assert newest.name == "step-0000000004.npz"
    newest.write_bytes(newest.read_bytes()[:-50])
    with pytest.warns(UserWarning, match=r"step-0000000004.npz, which is damaged .*one before"):
        train(make_compiled(), plan.dataset, tmp_path, 1, **options, verbose=0)
    assert "continues with epoch 1, batch 3" in (tmp_path / "train.log").read_text()


def test_other_batches_begin_the_epoch_anew(make_compiled, plan, tmp_path):
    interrupt(make_compiled(), plan.dataset, tmp_path, 1, at=(0, 3), plan=plan, checkpoint_steps=2)
    larger, losses = MemoryPlan(size=4), Losses()
    with pytest.warns(UserWarning, match=r"6 an epoch, now 3.*begins anew"):
        train(
            make_compiled(), larger.dataset, tmp_path, 1, plan=larger, callbacks=[losses], verbose=0
        )
    assert len(losses.losses) == 3


def test_another_optimizer_is_an_error(make_compiled, data, tmp_path):
    train(make_compiled(), data, tmp_path, 1, verbose=0)
    with pytest.raises(ValueError, match=r"this model and optimizer.*another folder"):
        train(make_compiled(keras.optimizers.Adam()), data, tmp_path, 2, verbose=0)


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(
    make_compiled, plan, tmp_path, monkeypatch
):
    """From the second epoch on nothing can be written; then the run is interrupted."""
    from keras_contextnet.training import checkpoint

    saved, savez = [], np.savez

    def savez_on_a_small_disk(file, **arrays):
        saved.append(None)
        if len(saved) > 1:
            file.write(b"some of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        savez(file, **arrays)

    monkeypatch.setattr(checkpoint.np, "savez", savez_on_a_small_disk)
    model, whole = make_compiled(), Losses()
    with pytest.warns(UserWarning, match=r"Could not write a checkpoint: .*No space left"):
        train(model, plan.dataset, tmp_path, 2, plan=plan, callbacks=[whole], verbose=0)
    assert "No space left" in (tmp_path / "train.log").read_text()
    assert len(rows_of(tmp_path)) == 2
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-0000000006.npz"]

    monkeypatch.undo()
    losses = Losses()
    train(make_compiled(), plan.dataset, tmp_path, 2, plan=plan, callbacks=[losses], verbose=0)
    np.testing.assert_allclose(losses.losses, whole.losses[6:], rtol=1e-6)


def test_no_record_ends_the_run_where_it_cannot_be_written(
    make_compiled, data, tmp_path, monkeypatch
):
    train(make_compiled(), data, tmp_path, 1, verbose=0)
    before = (tmp_path / "history.csv").read_text()
    weights = numbers(kc.ContextNet.from_preset(tmp_path / "preset"))

    monkeypatch.setattr(LearningCurve, "_draw", draw)

    def full(*args, **arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module in ("history_file", "learning_curve", "checkpoint"):
        monkeypatch.setattr(f"keras_contextnet.training.{module}.new_file", full)
    monkeypatch.setattr("keras_contextnet.models.presets.new_folder", full)
    with pytest.warns(UserWarning, match="No space left") as warned:
        history = train(make_compiled(), data, tmp_path, 2, verbose=0)
    assert history.epoch == [1]
    told = "\n".join(str(warning.message) for warning in warned)
    for what in ("history.csv", "curve.png", "the preset of epoch 2", "a checkpoint"):
        assert what in told
    assert (tmp_path / "history.csv").read_text() == before
    assert_weights(kc.ContextNet.from_preset(tmp_path / "preset"), weights)


def test_a_disk_that_is_full_costs_no_run(make_compiled, plan, tmp_path):
    """After the first epoch there is room for a part of the next preset, which HDF5 writes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a small disk")

    class Fill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                free = shutil.disk_usage(disk).free - 60_000
                (disk / "filler").write_bytes(bytes(free))

    try:
        model, folder = make_compiled(keras.optimizers.Adam(1e-3)), disk / "run"
        with pytest.warns(UserWarning, match="No space left"):
            train(model, plan.dataset, folder, 2, plan=plan, callbacks=[Fill()], verbose=0)
        kc.ContextNet.from_preset(folder / "preset", load_weights=True)
        assert len(rows_of(folder)) >= 1
        (disk / "filler").unlink()
        again = make_compiled(keras.optimizers.Adam(1e-3))
        assert train(again, plan.dataset, folder, 3, plan=plan, verbose=0).epoch[-1] == 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_bad_batches_are_named_and_change_nothing(make_compiled, plan, tmp_path):
    name = plan.batches(1)[2][0].id
    good = [b for b in range(6) if name not in {u.id for u in plan.batches(0)[b]}]
    plan.bad = {name}
    model, losses = make_compiled(keras.optimizers.Adam(1e-3)), Losses()
    with pytest.warns(UserWarning, match="Skipped") as warned:
        train(model, plan.dataset, tmp_path, 2, plan=plan, callbacks=[losses], verbose=0)
    told = [str(warning.message) for warning in warned if "Skipped" in str(warning.message)]
    assert len(told) == 2
    assert told[1].startswith("Skipped batch 3 of epoch 2: its loss or gradients were not finite")
    assert name in told[1]
    assert all(line in (tmp_path / "train.log").read_text() for line in told)
    assert [row["skipped"] for row in rows_of(tmp_path)] == ["1", "1"]
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 10
    assert np.isfinite(losses.losses).all()
    first_bad = next(b for b in range(6) if b not in good)
    if first_bad:  # the mean loss stays where it was
        assert losses.losses[first_bad] == losses.losses[first_bad - 1]
    assert all(np.isfinite(weight).all() for weight in numbers(model))


def test_skipped_batches_are_counted_across_an_interruption(make_compiled, plan, tmp_path):
    plan.bad = {plan.batches(0)[1][0].id, plan.batches(0)[4][0].id}
    options = {"plan": plan, "checkpoint_steps": 3}
    with pytest.warns(UserWarning, match="Skipped batch 2 of epoch 1"):
        interrupt(make_compiled(), plan.dataset, tmp_path, 1, at=(0, 3), **options)
    with pytest.warns(UserWarning, match="Skipped") as warned:
        train(make_compiled(), plan.dataset, tmp_path, 1, **options, verbose=0)
    told = [str(warning.message) for warning in warned if "Skipped" in str(warning.message)]
    assert len(told) == 1
    assert told[0].startswith("Skipped batch 5 of epoch 1")
    assert [row["skipped"] for row in rows_of(tmp_path)] == ["2"]


def test_validation_and_preset_have_the_averages(make_compiled, data, tmp_path):
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
    seen = {}

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen["trained"] = numbers(self.model)

        def on_test_batch_end(self, batch, logs=None):
            seen["evaluated"] = numbers(self.model)

        def on_epoch_end(self, epoch, logs=None):
            seen["after"] = numbers(self.model)
            seen["averages"] = [
                np.array(keras.ops.convert_to_numpy(average))
                for average in optimizer._model_variables_moving_average
            ]

    model = make_compiled(optimizer)
    train(model, data, tmp_path, 1, validation_data=data, callbacks=[Look()], verbose=0)
    for trained, evaluated, after, average in zip(
        seen["trained"], seen["evaluated"], seen["after"], seen["averages"], strict=True
    ):
        np.testing.assert_array_equal(evaluated, average)
        np.testing.assert_array_equal(after, trained)
    assert any((a != b).any() for a, b in zip(seen["trained"], seen["averages"], strict=True))
    assert_weights(kc.ContextNet.from_preset(tmp_path / "preset"), seen["averages"])
    assert_weights(model, seen["averages"])


def test_a_preset_has_no_optimizer(make_compiled, data, tmp_path):
    model = make_compiled(keras.optimizers.Adam(1e-3))
    train(model, data, tmp_path, 1, verbose=0)
    with h5py.File(tmp_path / "preset" / "model.weights.h5") as file:
        assert "optimizer" not in file
        assert "encoder" in file
    assert isinstance(model.optimizer, FiniteSteps)


def test_what_was_half_written_when_killed_is_put_right(make_compiled, data, tmp_path):
    """Killed once while a preset was written, and once between the two moves that replace one."""
    train(make_compiled(), data, tmp_path, 1, verbose=0)
    weights = numbers(kc.ContextNet.from_preset(tmp_path / "preset"))
    (tmp_path / "preset").rename(tmp_path / ".preset-abc-old")
    (tmp_path / ".preset-xyz").mkdir()
    (tmp_path / ".preset-xyz" / "config.json").write_text("{")
    interrupt(make_compiled(), data, tmp_path, 2, at=(1, 0))
    assert_weights(kc.ContextNet.from_preset(tmp_path / "preset"), weights)
    assert not list(tmp_path.glob(".preset-*"))


def test_lines_of_the_epochs(make_compiled, plan, tmp_path, capsys):
    metrics = [WordErrorRate(kc.text.CharacterTokenizer())]
    validation = plan.dataset().take(1).apply(known(1))
    train(
        make_compiled(metrics=metrics),
        plan.dataset,
        tmp_path,
        2,
        validation_data=validation,
        plan=plan,
        verbose=2,
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    log = (tmp_path / "train.log").read_text().splitlines()
    assert [line.split("  ", 1)[1] for line in log] == lines
    for part in ("loss ", "val_loss ", "val_wer ", "learning rate 0.001", " s of audio/s"):
        assert part in lines[0]


def test_model_that_is_not_compiled_is_an_error(make_contextnet, data, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a compiled model"):
        train(make_contextnet(), data, tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_function_needs_its_plan(make_compiled, plan, tmp_path):
    with pytest.raises(ValueError, match=r"Expected `plan`.*Received: plan=None"):
        train(make_compiled(), plan.dataset, tmp_path, epochs=1)
