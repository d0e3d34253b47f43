import time

import pytest

from keras_contextnet.training.batch_plan import BatchPlan
from keras_contextnet.training.measures import Measures
from keras_contextnet.training.progress import Progress, describe
from keras_contextnet.training.run_log import RunLog


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_speed_is_the_audio_of_the_steps_by_their_time(plan, clock):
    measures = Measures(BatchPlan(plan))  # 2 utterances of 0.4 s in a batch
    measures.first_batch = 4  # an epoch that was interrupted
    measures.on_epoch_begin(0)
    assert measures.audio_per_second is None
    for batch in range(2):
        clock[0] += 0.1
        measures.on_train_batch_end(batch)
    clock[0] += 60  # validation
    assert measures.audio_per_second == pytest.approx(1.6 / 0.2)
    measures.on_epoch_begin(1)
    measures.first_batch = 0
    clock[0] += 0.4
    measures.on_train_batch_end(0)
    assert measures.audio_per_second == pytest.approx(0.8 / 0.4)


def test_speed_is_unknown_without_durations(plan, clock, monkeypatch):
    monkeypatch.setattr(BatchPlan, "seconds", lambda *_: None)
    measures = Measures(BatchPlan(plan))
    measures.on_epoch_begin(0)
    clock[0] += 1
    measures.on_train_batch_end(0)
    measures.on_train_batch_end(1)
    assert measures.audio_per_second is None


def test_bar_stands_where_the_epoch_does(plan, clock, tmp_path, capsys):
    measures = Measures(BatchPlan(plan))
    measures.first_batch = 4
    progress = Progress(RunLog(tmp_path / "train.log"), measures, verbose=1)
    progress.set_params({"epochs": 9, "steps": 6})
    measures.on_epoch_begin(2)
    progress.on_epoch_begin(2)
    bar = progress._bar
    task = bar.tasks[0]
    assert (task.description, task.completed, task.total) == ("epoch 3/9", 4, 6)
    clock[0] += 0.1
    measures.on_train_batch_end(0)
    progress.on_train_batch_end(0, {"loss": 12.3456})
    assert task.completed == 5
    assert task.fields["values"] == "loss 12.35, 8 s of audio/s"
    progress.on_test_begin()
    assert task.fields["values"] == "validation"
    progress.on_epoch_end(2, {"loss": 12.0})
    assert bar.finished or not bar.live.is_started
    assert "epoch 3/9  loss 12" in capsys.readouterr().out


def test_a_line_says_numbers_in_their_units():
    logs = {
        "loss": 12.3456,
        "val_wer": 0.12345,
        "skipped": 2,
        "learning_rate": 0.00123456,
        "seconds": 61.4,
        "audio_per_second": 95.6,
    }
    assert describe(logs) == (
        "loss 12.35  val_wer 12.35%  skipped 2  learning rate 0.001235  61 s  96 s of audio/s"
    )


def test_a_log_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    RunLog(tmp_path / "file" / "train.log").line("epoch 1/2")
