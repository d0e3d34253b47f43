import logging
from pathlib import Path

from keras_contextnet.data import SkippedUtterances, Utterance

FIRST, SECOND = (Utterance(name, Path(f"{name}.wav"), "words") for name in ("first", "second"))


def test_each_is_counted_and_named_once(caplog):
    skipped = SkippedUtterances()
    assert len(skipped) == 0
    with caplog.at_level(logging.INFO, logger="keras_contextnet"):
        for _ in range(3):
            skipped.add(FIRST, "It is broken.")
            skipped.add(SECOND, "It is too long.", level=logging.INFO)
    assert len(skipped) == 2
    assert list(skipped) == [(FIRST, "It is broken."), (SECOND, "It is too long.")]
    assert FIRST in skipped
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "Left out first. It is broken."),
        ("INFO", "Left out second. It is too long."),
    ]


def test_more_may_be_added_while_it_is_read():
    skipped = SkippedUtterances()
    skipped.add(FIRST, "It is broken.")
    for _ in skipped:
        skipped.add(SECOND, "It is broken too.")
    assert SECOND in skipped
