import numpy as np
import pytest

from keras_contextnet.layers import LogMelSpectrogram, VocalTractPerturbation
from keras_contextnet.layers.mel_filters import hertz_to_mel, mel_to_hertz


def moved(hertz, factor, knee=4800.0, high=8000.0):
    """Equation 1 of the paper: where a frequency is heard after a warp by `factor`."""
    if hertz <= knee * min(factor, 1) / factor:
        return hertz * factor
    end = knee * min(factor, 1)
    return high - (high - end) / (high - end / factor) * (high - hertz)


def reference(features, factor, low=0.0, high=8000.0):
    """Band by band: its centre, where that comes from, and between which bands that is."""
    bands = features.shape[-1]
    mels = np.linspace(hertz_to_mel(low), hertz_to_mel(high), bands + 2)[1:-1]
    result = np.empty_like(features)
    for band, centre in enumerate(mel_to_hertz(mels)):
        source = hertz_to_mel(moved(centre, factor, high=high))
        for frame in np.ndindex(features.shape[:-1]):
            result[(*frame, band)] = np.interp(source, mels, features[frame])
    return result


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.0, 1.2])
def test_is_the_papers_equation(factor, rng, call):
    features = rng.normal(size=(2, 5, 40)).astype("float32")
    y = call(VocalTractPerturbation([factor]), features, training=True)
    np.testing.assert_allclose(y, reference(features, factor), atol=1e-4)
    if factor == 1.0:
        np.testing.assert_allclose(y, features, atol=1e-5)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_tone_is_heard_at_another_frequency(factor, call):
    """On the features of real tones: the warp undoes a tone's change by the same factor."""
    time = np.arange(16000) / 16000
    frontend = LogMelSpectrogram()
    tones = [np.sin(2 * np.pi * hertz * time) for hertz in (2000.0, 2000.0 * factor)]
    low, high = np.asarray(frontend(np.stack(tones).astype("float32")))
    warped = np.asarray(call(VocalTractPerturbation([factor]), high[None], training=True))[0]
    assert abs(warped[50].argmax() - low[50].argmax()) <= 1
    assert abs(high[50].argmax() - low[50].argmax()) > 1


def test_each_utterance_draws_its_own_factor(rng, call):
    features = np.repeat(rng.normal(size=(1, 3, 40)).astype("float32"), 64, axis=0)
    layer = VocalTractPerturbation([0.9, 1.0, 1.1], seed=3)
    rows = np.asarray(call(layer, features, training=True))
    for factor in layer.factors:
        near = np.abs(rows - reference(features[:1], factor)).max(axis=(1, 2)) < 1e-4
        assert 8 <= near.sum() <= 40  # of 21 expected
    again = np.asarray(call(layer, features, training=True))
    assert not np.array_equal(rows, again)


def test_does_nothing_outside_training(rng, call):
    features = rng.normal(size=(2, 3, 40)).astype("float32")
    np.testing.assert_array_equal(call(VocalTractPerturbation([0.8]), features), features)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"factors": []}, "Expected positive `factors`"),
        ({"factors": [1.0, -0.5]}, "Expected positive `factors`"),
        ({"factors": [0.5]}, "`knee_hz`, moved by any of `factors`, below high_hz=8000"),
        ({"high_hz": 4000.0}, "Received: knee_hz=4800.0"),
    ],
)
def test_impossible_warps_are_an_error(arguments, match):
    with pytest.raises(ValueError, match=match):
        VocalTractPerturbation(**arguments)
