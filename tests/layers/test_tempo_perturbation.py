import numpy as np
import pytest

from keras_contextnet.layers import TempoPerturbation


def clock(batch, frames, bands=3):
    """Features (batch, frames, bands) whose first band says which frame it is."""
    features = np.random.default_rng(0).normal(size=(batch, frames, bands)).astype("float32")
    features[..., 0] = np.arange(frames)
    return features


@pytest.mark.parametrize("frames", [1, 2, 39, 40, 41, 300])
def test_frames_are_interpolated_in_order_from_the_first_to_the_last(frames, call):
    features = clock(4, frames)
    y = np.asarray(call(TempoPerturbation(0.5, seed=1), features, training=True))
    source = y[..., 0]  # (batch, frames)
    np.testing.assert_allclose(source[:, 0], 0, atol=1e-3)
    np.testing.assert_allclose(source[:, -1], frames - 1, atol=1e-3)
    assert (np.diff(source, axis=1) > 0).all()
    for utterance in range(4):
        for band in range(3):
            expected = np.interp(source[utterance], np.arange(frames), features[utterance, :, band])
            np.testing.assert_allclose(y[utterance, :, band], expected, atol=2e-3)


def test_padding_stays_and_is_never_heard(call):
    features = clock(2, 90)
    mask = np.arange(90) < np.array([[90], [50]])
    features[~mask] = 1e6
    y = np.asarray(call(TempoPerturbation(0.5, seed=1), features, mask=mask, training=True))
    np.testing.assert_array_equal(y[~mask], 1e6)
    assert y[mask].max() < 100
    np.testing.assert_allclose(y[[0, 1], [89, 49], 0], [89, 49], atol=1e-3)


def test_tempo_varies_as_much_as_it_is_told_and_smoothly(call):
    source = np.asarray(call(TempoPerturbation(0.3, 60, seed=2), clock(400, 200), training=True))[
        ..., 0
    ].astype("float64")
    log_tempo = np.log(np.diff(source, axis=1))  # (batch, frames - 1)
    # Utterances' deviations are uniform in [0, 0.3], so that their mean square is 0.3 ** 2 / 3.
    middle = log_tempo[:, 100] - log_tempo.mean(axis=1)
    assert np.std(middle) == pytest.approx(0.3 / np.sqrt(3), rel=0.2)
    steps = np.abs(np.diff(log_tempo, axis=1))
    assert steps.max() < 0.3 * 4 * 2 * np.pi / 60  # all eight waves at once


def test_each_utterance_and_each_call_draw_their_own(call):
    features = np.repeat(clock(1, 100), 8, axis=0)
    layer = TempoPerturbation(seed=3)
    first, second = (np.asarray(call(layer, features, training=True)) for _ in range(2))
    assert len({row.tobytes() for row in [*first, *second]}) == 16


def test_no_deviation_changes_nothing(call):
    features = clock(2, 100)
    y = call(TempoPerturbation(0.0), features, training=True)
    np.testing.assert_allclose(y, features, atol=1e-3)


def test_does_nothing_outside_training(call):
    features = clock(2, 100)
    np.testing.assert_array_equal(call(TempoPerturbation(), features), features)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"deviation": -0.1}, "Expected `deviation` of 0 or more. Received: deviation=-0.1"),
        ({"deviation": float("nan")}, "Received: deviation=nan"),
        ({"shortest_period": 0}, "`shortest_period` to be a positive integer"),
        ({"shortest_period": 2.5}, "Received: shortest_period=2.5"),
    ],
)
def test_impossible_arguments_are_an_error(arguments, match):
    with pytest.raises(ValueError, match=match):
        TempoPerturbation(**arguments)
