import struct
import sys
import wave

import numpy as np
import pytest
import soundfile

from keras_contextnet.data import AudioError, load_audio
from keras_contextnet.litert.audio_blocks import check_blocks, read_blocks

RATE = 16000


def noise(seconds, channels=1, rate=RATE):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (int(seconds * rate), channels))
    return samples.astype("float32")


def read(path, sample_rate=RATE):
    return np.concatenate(list(read_blocks(path, sample_rate)))


@pytest.fixture
def no_soundfile(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
def test_wav_of_integers_without_soundfile(subtype, channels, tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(25, channels), RATE, subtype, format="WAV")
    expected = load_audio(path)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    blocks = list(read_blocks(path, RATE))
    assert [len(block) for block in blocks] == [10 * RATE, 10 * RATE, 5 * RATE]
    assert all(block.dtype == "float32" for block in blocks)
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("format", "subtype"), [("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("MP3", None)]
)
def test_other_files_by_soundfile(format, subtype, tmp_path):
    path = tmp_path / "a.audio"
    soundfile.write(path, noise(21, 2), RATE, subtype, format=format)
    np.testing.assert_allclose(read(path), load_audio(path), rtol=0, atol=1e-6)


def test_other_files_without_soundfile_are_an_error(tmp_path, no_soundfile):
    path = tmp_path / "a.flac"
    path.write_bytes(b"fLaC\x00\x00\x00\x22")
    with pytest.raises(ImportError, match=r"a\.flac\. Install it: pip install soundfile"):
        read(path)


@pytest.mark.parametrize("rate", [8000, 44100])
def test_another_rate_is_resampled_without_seams(rate, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(21, 2, rate), rate)
    expected = load_audio(path)
    result = read(path)
    assert abs(len(result) - len(expected)) <= 1
    count = min(len(result), len(expected))
    np.testing.assert_allclose(result[:count], expected[:count], rtol=0, atol=1e-4)


def test_another_rate_without_soxr_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1), 8000)
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ImportError, match=r"16000 Hz\. Received: 8000 Hz.*pip install soxr"):
        read(path)


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_a_file_cut_off_is_an_error(format, tmp_path):
    path = tmp_path / "a.audio"
    soundfile.write(path, noise(12), RATE, "PCM_16", format=format)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"a\.audio"):
        read(path)
    path.write_bytes(data[:20])
    with pytest.raises(AudioError, match=r"a\.audio"):
        read(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_of_unknown_length_is_read_to_its_end(size, tmp_path):
    """As ffmpeg and sox write it to a pipe."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1, 2), RATE)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", size)
    path.write_bytes(data)
    assert len(read(path)) == RATE


def test_no_samples_are_an_error(tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
    with pytest.raises(AudioError, match="which has none"):
        read(path)
    soundfile.write(tmp_path / "b.wav", np.array([0.0, np.nan]), RATE, "FLOAT")
    with pytest.raises(AudioError, match="NaN or infinity"):
        read(tmp_path / "b.wav")
    with pytest.raises(AudioError, match="does not exist"):
        read(tmp_path / "c.wav")


def test_waveforms_are_checked():
    halves = np.split(noise(1)[:, 0], 2)
    result = np.concatenate(list(check_blocks(halves, RATE, RATE)))
    np.testing.assert_array_equal(result, noise(1)[:, 0])
    for wrong, message in [
        (np.zeros(0), "`audio`: Expected at least one sample"),
        (np.zeros(9, "int16"), "divided by 32768"),
        (np.zeros((2, 9)), "Average the channels"),
        (np.array([0.0, np.inf]), "finite"),
    ]:
        with pytest.raises(AudioError, match=message):
            list(check_blocks([halves[0], wrong], RATE, RATE))
    with pytest.raises(ValueError, match=r"`sample_rate` to be a rate in Hz\. Received: 0"):
        list(check_blocks(halves, 0, RATE))
