import pytest

from keras_contextnet.data.limits import UtteranceLimits


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({}, None),
        ({"max_duration": 2.0, "max_tokens": 30, "max_tokens_per_second": 15.0}, None),
        (
            {"max_duration": 1.99, "max_tokens": 1},
            "Expected at most max_duration=1.99. Received: 2.",
        ),
        ({"max_tokens": 29}, "Expected at most max_tokens=29. Received: 30."),
        (
            {"max_tokens_per_second": 12.5},
            "Expected at most max_tokens_per_second=12.5. Received: 15.",
        ),
    ],
)
def test_limits_hold_and_are_named(limits, reason):
    assert UtteranceLimits(**limits).exceeded_by(duration=2.0, tokens=30) == reason


def test_which_take_time():
    assert not UtteranceLimits(max_tokens=3).are_of_time
    assert UtteranceLimits(max_duration=3).are_of_time
    assert UtteranceLimits(max_tokens_per_second=3).are_of_time
