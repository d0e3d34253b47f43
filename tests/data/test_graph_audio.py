import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_contextnet.data import load_audio, load_audio_tensor

tf = pytest.importorskip("tensorflow")
EXAMPLE = Path(__file__).parents[2] / "examples/audio/4640-19188-0038.opus"


def native_operations_load():
    try:
        from tensorflow_io.python.ops import core_ops

        return bool(core_ops.io_audio_readable_init)
    except (ImportError, NotImplementedError):
        return False


tensorflow_io = pytest.mark.skipif(
    not tf.__version__.startswith("2.16.") or not native_operations_load(),
    reason="tensorflow-io's native operations load under TensorFlow 2.16 only",
)


def read(path):
    return tf.function(load_audio_tensor)(tf.constant(str(path))).numpy()


@cache
def speech(sample_rate):
    """A stereo copy of a shipped utterance, band-limited to 3 kHz."""
    wave = load_audio(EXAMPLE)
    spectrum = np.fft.rfft(wave)
    spectrum[len(wave) * 3000 // 16000 :] = 0
    wave = np.fft.irfft(spectrum, len(wave)).astype("float32")
    from keras_contextnet.data.audio import resample

    wave = resample(wave, 16000, sample_rate)
    return np.stack([wave, 0.5 * wave], axis=1)


@tensorflow_io
@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "FLOAT"),
        ("a.flac", "PCM_16"),
        ("a.flac", "PCM_24"),
        ("a.ogg", "VORBIS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
def test_equals_load_audio(tmp_path, name, subtype):
    path = tmp_path / name
    soundfile.write(path, speech(16000), 16000, subtype=subtype)
    waveform = read(path)
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, load_audio(path), atol=1e-6)


@tensorflow_io
@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100, 48000])
def test_resamples_as_load_audio(tmp_path, sample_rate):
    path = tmp_path / "a.flac"
    soundfile.write(path, speech(sample_rate), sample_rate)
    expected, received = load_audio(path), read(path)
    assert received.shape == expected.shape
    # speexdsp's filter is not soxr's; and its delay is not always a whole number of samples.
    assert np.abs(received - expected).max() < 0.05 * np.abs(expected).max()


@tensorflow_io
def test_in_a_parallel_pipeline(tmp_path):
    """Files of different lengths and types, so that a reader's mistaken file shows."""
    paths, lengths = [], np.random.default_rng(0).integers(8000, 16000, 40)
    for i, length in enumerate(lengths):
        paths.append(str(tmp_path / f"{i}.{('wav', 'flac', 'mp3')[i % 3]}"))
        soundfile.write(paths[-1], speech(16000)[:length], 16000)
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(load_audio_tensor, 8)
    assert dataset.element_spec == tf.TensorSpec((None,), tf.float32)
    for path, waveform in zip(paths, dataset, strict=True):
        np.testing.assert_allclose(waveform, load_audio(path), atol=1e-6)


@tensorflow_io
def test_what_it_cannot_decode_is_named(tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"decode Opus.*0038\.opus"):
        read(EXAMPLE)
    path = tmp_path / "text.wav"
    path.write_text("not audio at all " * 10)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expected WAV.*text\.wav"):
        read(path)
    path = tmp_path / "int32.wav"
    soundfile.write(path, speech(16000), 16000, subtype="PCM_32")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"32-bit PCM.*int32\.wav"):
        read(path)
    with pytest.raises(tf.errors.NotFoundError, match=r"none\.wav"):
        read(tmp_path / "none.wav")


def test_without_tensorflow_io(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io.python.ops", None)
    with pytest.raises(ImportError, match=r"keras-contextnet\[tfio\]"):
        load_audio_tensor(tf.constant("a.wav"))
