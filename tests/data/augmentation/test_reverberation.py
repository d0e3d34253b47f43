import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.data.augmentation import Reverberate
from keras_contextnet.data.augmentation.reverberation import simulated_response


def speech(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype("float32")


def power(waveform):
    return np.mean(np.square(waveform, dtype="float64"))


@pytest.mark.parametrize("decay", [0.2, 0.6])
def test_simulated_rooms_decay_as_asked(decay):
    responses = [
        simulated_response(decay, 5.0, 16000, np.random.default_rng(seed)) for seed in range(40)
    ]
    energy = np.mean(np.square(responses, dtype="float64"), axis=0)[1:]
    # Schroeder's backward integral falls by 60 dB in the reverberation time, -5 to -25 dB fitted.
    curve = 10 * np.log10(np.cumsum(energy[::-1])[::-1] / energy.sum())
    fitted = (curve < -5) & (curve > -25)
    slope, _ = np.polyfit(np.arange(len(curve))[fitted] / 16000, curve[fitted], 1)
    assert -60 / slope == pytest.approx(decay, rel=0.05)


@pytest.mark.parametrize("ratio", [-5.0, 0.0, 15.0])
def test_simulated_rooms_have_the_direct_sound_first(ratio):
    response = simulated_response(0.3, ratio, 16000, np.random.default_rng(0))
    assert response.shape == (4801,)
    assert response[0] == 1
    received = 10 * np.log10(1 / np.square(response[1:], dtype="float64").sum())
    assert received == pytest.approx(ratio, abs=0.01)


@given(st.integers(0, 4000), st.floats(1e-4, 1), st.integers(0, 99))
def test_any_waveform_keeps_length_and_power(samples, level, seed):
    waveform = np.float32(level) * speech(samples, seed)
    before = waveform.copy()
    result = Reverberate()(waveform, 16000, np.random.default_rng(seed))
    assert result.dtype == np.float32
    assert result.shape == waveform.shape
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(waveform, before)
    if samples > 1:
        assert power(result) == pytest.approx(power(waveform), rel=1e-3)


def test_against_the_sum():
    """The generator's draws are those of the response, so that it can be drawn again."""
    waveform = speech(5000)
    received = Reverberate(decay=(0.2, 0.2))(waveform, 16000, np.random.default_rng(3))
    generator = np.random.default_rng(3)
    generator.random()
    decay, ratio = generator.uniform(0.2, 0.2), generator.uniform(0, 15)
    response = simulated_response(decay, ratio, 16000, generator)
    expected = np.convolve(waveform, response)[:5000]
    expected *= np.sqrt(power(waveform) / power(expected))
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_words_keep_their_times(tmp_path):
    # A recorded response: 20 ms on the way, the straight sound, and an echo 50 ms later.
    response = np.zeros(2000)
    response[320], response[300], response[1120] = -0.9, 0.1, 0.4
    soundfile.write(tmp_path / "room.wav", response, 16000, subtype="FLOAT")
    click = np.zeros(4000, "float32")
    click[1000] = 0.5
    result = Reverberate(recordings=tmp_path)(click, 16000, np.random.default_rng(0))
    scale = 0.5 / np.sqrt(0.9**2 + 0.1**2 + 0.4**2)
    expected = np.zeros(4000)
    expected[1000], expected[980], expected[1800] = -0.9 * scale, 0.1 * scale, 0.4 * scale
    np.testing.assert_allclose(result, expected, atol=1e-6)
    for seed in range(5):
        simulated = Reverberate()(click, 16000, np.random.default_rng(seed))
        assert np.flatnonzero(np.abs(simulated) > 1e-6)[0] == 1000


def test_silence_and_nothing(tmp_path):
    generator = np.random.default_rng(0)
    for samples in (0, 1, 500):
        silent = np.zeros(samples, "float32")
        np.testing.assert_array_equal(Reverberate()(silent, 16000, generator), silent)
    soundfile.write(tmp_path / "nothing.wav", np.zeros(100), 16000)
    room = Reverberate(recordings=[tmp_path / "nothing.wav"])
    np.testing.assert_array_equal(room(speech(100), 16000, generator), speech(100))


def test_probability_and_generator():
    augmentation, waveform = Reverberate(probability=0.25), speech(50)
    generator = np.random.default_rng(0)
    same = [augmentation(waveform, 16000, generator) is waveform for _ in range(200)]
    assert 130 < sum(same) < 170
    first, again, other = (
        Reverberate()(waveform, 16000, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_bad_arguments(tmp_path):
    for decay in ((0, 0.5), (0.1, 20)):
        with pytest.raises(ValueError, match="Expected decay to be reverberation times above 0 s"):
            Reverberate(decay=decay)
    with pytest.raises(ValueError, match="Expected direct_to_reverberant to be the lowest"):
        Reverberate(direct_to_reverberant=(3, 1))
    with pytest.raises(ValueError, match="Expected a folder with audio files"):
        Reverberate(recordings=tmp_path)
