import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.data import AudioError, audio_duration, check_waveform, load_audio
from keras_contextnet.data.audio import resample

EXAMPLE = Path(__file__).parents[2] / "examples/audio/4640-19188-0038.opus"


def tone(sample_rate, seconds=0.4):
    """Two partials below 4 kHz, faded in and out so that resampling has no edges to ring at."""
    t = np.arange(round(sample_rate * seconds)) / sample_rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 2500 * t)
    return (wave * np.hanning(len(t))).astype("float32")


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "FLOAT", 1e-7),
        ("a.flac", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 0.05),
        ("a.opus", "OPUS", 0.05),
        ("a.mp3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_formats(tmp_path, name, subtype, tolerance):
    path = tmp_path / name
    container = "OGG" if subtype == "OPUS" else None
    soundfile.write(path, tone(16000), 16000, subtype=subtype, format=container)
    waveform = load_audio(str(path))
    assert waveform.dtype == np.float32
    assert waveform.shape == (6400,)
    np.testing.assert_allclose(waveform, tone(16000), atol=tolerance)
    assert audio_duration(path) == 0.4


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 44100, 48000])
def test_any_rate_and_channels(tmp_path, sample_rate):
    path = tmp_path / "stereo.wav"
    left = tone(sample_rate)
    soundfile.write(path, np.stack([left, 0.5 * left], axis=1), sample_rate, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(path), 0.75 * tone(16000), atol=1e-3)
    np.testing.assert_allclose(load_audio(path, 8000), 0.75 * tone(8000), atol=1e-3)


def test_telephone_copy_of_speech(tmp_path):
    speech = load_audio(EXAMPLE)
    path = tmp_path / "telephone.wav"
    telephone = resample(speech, 16000, 8000)
    soundfile.write(path, np.stack([telephone, telephone], axis=1), 8000, subtype="FLOAT")
    again = load_audio(path)
    assert again.shape == speech.shape
    # What the telephone loses is above 4 kHz.
    expected, received = (abs(np.fft.rfft(x))[: len(x) * 3500 // 16000] for x in (speech, again))
    np.testing.assert_allclose(received, expected, atol=0.01 * expected.max())


def corrupted(data):
    middle = len(data) // 2
    return data[:middle] + bytes(range(256)) * 4 + data[middle + 1024 :]


def encoded(tmp_path, name):
    path = tmp_path / f"whole{name}"
    noise = np.random.default_rng(0).normal(size=32000).astype("float32") * 0.1
    soundfile.write(path, noise, 16000, format="OGG" if name == ".opus" else None,
                    subtype="OPUS" if name == ".opus" else None)  # fmt: skip
    return path.read_bytes()


@pytest.mark.parametrize("name", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_cut_off(tmp_path, name, kept):
    data = encoded(tmp_path, name)
    path = tmp_path / f"cut{name}"
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(AudioError, match=re.escape(str(path))):
        load_audio(path)


def test_wav_of_unknown_length(tmp_path):
    data = bytearray(encoded(tmp_path, ".wav"))
    assert data[36:40] == b"data"
    path = tmp_path / "piped.wav"
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert load_audio(path).shape == (32000,)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("text.wav", b"not audio at all " * 100, "readable WAV, FLAC, Ogg or MP3"),
        ("text.raw", b"not audio at all " * 100, "readable WAV, FLAC, Ogg or MP3"),
        ("empty.wav", b"", "empty (0 bytes)"),
        ("short.flac", b"fLaC", "readable WAV, FLAC, Ogg or MP3"),
        ("short.opus", b"OggS", "readable WAV, FLAC, Ogg or MP3"),
    ],
)
def test_not_audio(tmp_path, name, contents, message):
    path = tmp_path / name
    path.write_bytes(contents)
    with pytest.raises(AudioError, match=re.escape(message)) as error:
        load_audio(path)
    assert str(path) in str(error.value)
    with pytest.raises(AudioError, match=re.escape(str(path))):
        audio_duration(path)


def test_corrupt(tmp_path):
    path = tmp_path / "corrupt.flac"
    path.write_bytes(corrupted(encoded(tmp_path, ".flac")))
    with pytest.raises(AudioError, match=re.escape(str(path))):
        load_audio(path)


def test_missing_and_folder(tmp_path):
    for load in (load_audio, audio_duration):
        with pytest.raises(AudioError, match=r"no\.wav, which does not exist"):
            load(tmp_path / "no.wav")
        with pytest.raises(AudioError, match="which is a folder"):
            load(tmp_path)


def test_no_samples(tmp_path):
    path = tmp_path / "none.wav"
    soundfile.write(path, np.zeros(0), 16000)
    with pytest.raises(AudioError, match=r"samples in it. Received: .*none\.wav"):
        load_audio(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(tmp_path, value):
    path = tmp_path / "bad.wav"
    wave = tone(16000)
    wave[5] = value
    soundfile.write(path, wave, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"finite samples. Received: .*bad\.wav"):
        load_audio(path)
    with pytest.raises(AudioError, match="NaN or infinity"):
        check_waveform(wave)


def test_check_waveform_keeps_samples():
    for wave in (tone(16000), tone(16000).astype("float64"), tone(16000).tolist()):
        checked = check_waveform(wave)
        assert checked.dtype == np.float32
        np.testing.assert_array_equal(checked, tone(16000))


def test_check_waveform_takes_tensors():
    tf = pytest.importorskip("tensorflow")
    np.testing.assert_array_equal(check_waveform(tf.constant(tone(16000))), tone(16000))


@settings(max_examples=20, deadline=None)
@given(rate=st.sampled_from([8000, 12000, 24000, 44100]), target=st.sampled_from([8000, 16000]))
def test_check_waveform_resamples(rate, target):
    checked = check_waveform(tone(rate), sample_rate=rate, target_sample_rate=target)
    np.testing.assert_allclose(checked, tone(target), atol=1e-3)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 16000)), r"shape \(2, 16000\). Average the channels"),
        (np.zeros((16000, 1)), "Average the channels"),
        (np.float32(0), r"shape \(\)"),
        (np.zeros(100, "int16"), "dtype int16. Scale integers first"),
        (np.zeros(100, bool), "dtype bool"),
        (["a", "b"], "Received: dtype"),
        (np.zeros(0), "at least one sample"),
    ],
)
def test_check_waveform_errors(waveform, message):
    with pytest.raises(AudioError, match=message):
        check_waveform(waveform)


def test_rates_must_be_positive():
    with pytest.raises(ValueError, match=r"sample_rate to be a positive rate in Hz\. Received: 0"):
        check_waveform(tone(16000), sample_rate=0)
    with pytest.raises(ValueError, match=r"target_sample_rate .* Received: -8000"):
        load_audio(EXAMPLE, sample_rate=-8000)


def test_example_is_whole():
    assert os.path.getsize(EXAMPLE) > 1000
    assert load_audio(EXAMPLE).shape == (41200,)
