import sys

import matplotlib.figure
import pytest

from keras_contextnet.training.learning_curve import LearningCurve


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is drawn, as the lines of each panel."""
    drawn = []
    savefig = matplotlib.figure.Figure.savefig

    def record(figure, *args, **arguments):
        panels = [
            {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
            for axes in figure.axes
        ]
        drawn.append(panels)
        return savefig(figure, *args, **arguments)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", record)
    return drawn


def test_draws_losses_and_rates_after_every_epoch(figures, tmp_path):
    path = tmp_path / "new" / "curve.png"
    curve = LearningCurve(path)
    curve.on_epoch_end(0, {"loss": 4.0, "val_loss": 5.0, "val_wer": 1.0, "learning_rate": 0.1})
    first = path.read_bytes()
    curve.on_epoch_end(1, {"loss": 2.0, "val_loss": 3.0, "val_wer": 0.5, "learning_rate": 0.1})
    assert figures[-1] == [
        {"loss": [[1, 4], [2, 2]], "val_loss": [[1, 5], [2, 3]]},
        {"val_wer": [[1, 1], [2, 0.5]]},
        {"learning_rate": [[1, 0.1], [2, 0.1]]},
    ]
    assert first.startswith(b"\x89PNG")
    assert path.read_bytes() != first
    assert list(path.parent.iterdir()) == [path]


def test_epochs_without_validation_leave_gaps(figures, tmp_path):
    """`validation_freq` and runs that continue give values for some epochs only."""
    curve = LearningCurve(tmp_path / "curve.svg")
    curve.load([{"epoch": "3", "loss": "4.0", "val_loss": "", "seconds": "12"}])
    curve.on_epoch_end(4, {"loss": 2.0, "val_loss": 3.0})
    assert figures[-1] == [{"loss": [[4, 4], [5, 2]], "val_loss": [[5, 3]]}]
    assert "<svg" in (tmp_path / "curve.svg").read_text()


@pytest.mark.parametrize("logs", [None, {}, {"accuracy": 1.0}])
def test_nothing_to_draw_is_no_error(logs, figures, tmp_path):
    LearningCurve(tmp_path / "curve.png").on_epoch_end(0, logs)
    assert not any(figures)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "keras-contextnet\[plot\]"'):
        LearningCurve(tmp_path / "curve.png")
