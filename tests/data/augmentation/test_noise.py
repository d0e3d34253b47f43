import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.data import AudioError
from keras_contextnet.data.augmentation import AddNoise


def write(path, waveform, sample_rate=16000):
    soundfile.write(path, waveform, sample_rate, subtype="FLOAT")
    return path


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    (folder / "deeper").mkdir()
    write(folder / "short.wav", noise(700, 1))
    write(folder / "deeper" / "long.flac.wav", noise(9000, 2))
    (folder / "README.md").write_text("not audio")
    return folder


def decibels(waveform):
    return 10 * np.log10(np.mean(np.square(waveform, dtype="float64")))


@given(
    st.integers(1, 3000),
    st.floats(-20, 40),
    st.floats(1e-4, 1),
    st.integers(0, 99),
)
def test_the_ratio_is_the_one_asked_for(folder, samples, snr, level, seed):
    speech = np.float32(level) * (noise(samples, seed) + np.float32(0.2))
    before = speech.copy()
    result = AddNoise(folder, snr=(snr, snr))(speech, 16000, np.random.default_rng(seed))
    assert result.dtype == np.float32
    assert result.shape == speech.shape
    np.testing.assert_array_equal(speech, before)
    # Adding in float32 rounds the noise at the speech's last bit.
    assert decibels(speech) - decibels(result - speech) == pytest.approx(snr, abs=0.05)


def test_ratios_are_spread_over_the_range(folder):
    speech, generator = noise(16000), np.random.default_rng(0)
    augmentation = AddNoise(folder, snr=(5, 25))
    added = [augmentation(speech, 16000, generator) - speech for _ in range(200)]
    ratios = [decibels(speech) - decibels(n) for n in added]
    assert 5 <= min(ratios) < 6
    assert 24 < max(ratios) <= 25.01
    assert np.mean(ratios) == pytest.approx(15, abs=1)


def test_what_is_added_is_the_recording_from_a_random_place(tmp_path):
    recording = noise(1000)
    augmentation = AddNoise([write(tmp_path / "a.wav", recording)], snr=(0, 0))
    speech = np.full(2500, 0.5, "float32")
    added = augmentation(speech, 16000, np.random.default_rng(0)) - speech
    # It repeats, and somewhere its first sample follows its last.
    np.testing.assert_allclose(added[1000:], added[:-1000], atol=1e-6)
    shifts = [np.corrcoef(np.roll(added[:1000], s), recording)[0, 1] for s in range(1000)]
    assert max(shifts) > 0.999999
    other = augmentation(speech, 16000, np.random.default_rng(1)) - speech
    assert np.abs(other - added).max() > 0.1


def test_recordings_come_at_the_rate_of_the_speech(tmp_path):
    t = np.arange(48000) / 48000
    path = write(tmp_path / "tone.wav", np.sin(2 * np.pi * 1000 * t), 48000)
    speech = np.full(8000, 0.5, "float32")
    added = AddNoise([path])(speech, 8000, np.random.default_rng(0)) - speech
    assert np.argmax(np.abs(np.fft.rfft(added))) == 1000


def test_silence_and_nothing(tmp_path, folder):
    generator = np.random.default_rng(0)
    for samples in (0, 1, 500):
        silent = np.zeros(samples, "float32")
        np.testing.assert_array_equal(AddNoise(folder)(silent, 16000, generator), silent)
    digital = AddNoise([write(tmp_path / "a.wav", np.zeros(100))])
    np.testing.assert_array_equal(digital(noise(500), 16000, generator), noise(500))


def test_decoded_recordings_are_kept_in_bounded_memory(tmp_path, monkeypatch):
    from keras_contextnet.data.augmentation import recordings

    read = []

    def load(path, rate):
        read.append(path.name)
        return noise(rate)

    monkeypatch.setattr(recordings, "load_audio", load)
    paths = [write(tmp_path / f"{i}.wav", noise(10)) for i in range(8)]
    generator = np.random.default_rng(0)
    everything = AddNoise(paths)
    for _ in range(100):
        everything(noise(100), 16000, generator)
    assert sorted(read) == [path.name for path in paths]
    read.clear()
    few = AddNoise(paths, cache_seconds=3.5)
    for _ in range(100):
        few(noise(100), 16000, generator)
        assert len(few.recordings._decoded) <= 3
    assert 40 < len(read) < 90
    read.clear()
    nothing = AddNoise(paths, cache_seconds=0.5)
    for _ in range(20):
        nothing(noise(100), 16000, generator)
    assert len(read) == 20


def test_probability(folder):
    augmentation, generator = AddNoise(folder, probability=0.25), np.random.default_rng(0)
    speech = noise(50)
    same = [augmentation(speech, 16000, generator) is speech for _ in range(400)]
    assert 270 < sum(same) < 330


def test_a_bad_recording_is_named(tmp_path):
    (tmp_path / "broken.wav").write_text("not audio")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        AddNoise(tmp_path)
    write(tmp_path / "broken.wav", [])
    with pytest.raises(AudioError, match=r"broken\.wav, which has none"):
        AddNoise(tmp_path)(noise(10), 16000, np.random.default_rng(0))


def test_bad_arguments(tmp_path, folder):
    with pytest.raises(ValueError, match=r"folder with audio files .* Received: .*empty"):
        AddNoise(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"Received: .*gone\.wav, no file"):
        AddNoise([folder / "short.wav", tmp_path / "gone.wav"])
    with pytest.raises(ValueError, match="Received: an empty list"):
        AddNoise([])
    for snr in ((25, 5), 5, (1, 2, 3), (0, float("inf"))):
        with pytest.raises(ValueError, match="Expected snr to be the lowest and the highest"):
            AddNoise(folder, snr=snr)
    with pytest.raises(ValueError, match="Expected cache_seconds to be at least 0"):
        AddNoise(folder, cache_seconds=-1)
