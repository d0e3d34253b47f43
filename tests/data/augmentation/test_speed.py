import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.data.augmentation import SpeedPerturbation


def tone(frequency, samples=16000, sample_rate=16000):
    wave = np.sin(2 * np.pi * frequency * np.arange(samples) / sample_rate)
    return (wave * np.hanning(samples)).astype("float32")


def changed(waveform, factor):
    return SpeedPerturbation(factors=(factor,))(waveform, 16000, np.random.default_rng(0))


def resampled(waveform, up, down):
    """The samples of scipy's polyphase filter, made sharp enough to compare with."""
    signal = pytest.importorskip("scipy.signal")
    taps = signal.firwin(2 * 200 * max(up, down) + 1, 1 / max(up, down), window=("kaiser", 12.0))
    return signal.resample_poly(waveform, up, down, window=taps)


@pytest.mark.parametrize(("factor", "up", "down"), [(0.9, 10, 9), (1.1, 10, 11), (1.25, 4, 5)])
def test_against_scipy(factor, up, down):
    wave = tone(440) + tone(3000)
    expected, received = resampled(wave, up, down), changed(wave, factor)
    assert len(received) == round(16000 / factor)
    length = min(len(expected), len(received))
    np.testing.assert_allclose(received[:length], expected[:length], atol=2e-4)


def test_tempo_and_pitch():
    spectrum = np.abs(np.fft.rfft(changed(tone(1000), 0.8), 16000))
    assert np.argmax(spectrum) == 800  # Hz
    # What would lie above half of the rate is gone, not folded back.
    assert np.abs(changed(tone(7500), 1.25)).max() < 1e-3
    assert np.abs(changed(tone(7500), 0.8)).max() > 0.9


@given(st.integers(0, 400), st.floats(0.5, 2), st.integers(0, 99))
def test_any_length_and_factor(samples, factor, seed):
    waveform = np.random.default_rng(seed).uniform(-1, 1, samples).astype("float32")
    before = waveform.copy()
    result = changed(waveform, factor)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert abs(len(result) - samples / factor) <= (1 if samples else 0)
    assert (len(result) > 0) == (samples > 0)
    np.testing.assert_array_equal(waveform, before)


def test_factors_are_equally_likely_and_follow_the_generator():
    augmentation = SpeedPerturbation()
    second = np.zeros(16000, "float32")

    def lengths(seed):
        generator = np.random.default_rng(seed)
        return [len(augmentation(second, 16000, generator)) for _ in range(300)]

    found, counts = np.unique(lengths(0), return_counts=True)
    assert found.tolist() == [14545, 16000, 17778]
    assert counts.min() > 70
    assert lengths(0) == lengths(0) != lengths(1)


def test_probability():
    augmentation = SpeedPerturbation(factors=(2.0,), probability=0.25)
    generator = np.random.default_rng(0)
    halved = [len(augmentation(np.zeros(10, "float32"), 16000, generator)) for _ in range(400)]
    assert 70 < halved.count(5) < 130


@pytest.mark.parametrize("factors", [(), (0.0,), (1, -1), (1, float("nan")), (100,)])
def test_bad_factors(factors):
    with pytest.raises(ValueError, match="Expected factors to be speeds"):
        SpeedPerturbation(factors)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_bad_probability(probability):
    with pytest.raises(ValueError, match="Expected probability to be between 0 and 1"):
        SpeedPerturbation(probability=probability)
