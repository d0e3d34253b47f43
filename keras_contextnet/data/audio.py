"""Audio files and waveforms: mono float32 at one sample rate, or an error that says why not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


class AudioError(ValueError):
    """An audio file or a waveform that cannot be used; the message names it."""


def load_audio(path: str | os.PathLike[str], sample_rate: int = 16000) -> np.ndarray:
    """Reads an audio file as one mono waveform.

    WAV, FLAC, Ogg (Vorbis, Opus) and MP3 are read, at any rate and with any number of channels.
    Channels are averaged; another rate is resampled by soxr.

    Args:
        path: The file.
        sample_rate: The rate of the result, in Hz.

    Returns:
        The waveform `(samples,)`, float32, in `[-1, 1]`.

    Raises:
        AudioError: If the file is missing, empty, cut off, not audio, or has NaN or infinite
            samples. Its message names the file.

    Example:

    ```python
    from keras_contextnet.data import load_audio

    waveform = load_audio("examples/audio/4640-19188-0038.opus")
    assert waveform.shape == (41200,) and waveform.dtype == "float32"
    ```
    """
    import soundfile

    path = audio_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            rate, expected, log = file.samplerate, file.frames, file.extra_info
            channels = file.read(dtype="float32", always_2d=True)  # (samples, channels)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: headerless .raw
        raise unreadable(path, error) from error
    if len(channels) == 0:
        raise AudioError(f"Expected a file with samples in it. Received: {path}, which has none.")
    if is_cut_off(path, len(channels), expected, log):
        raise cut_off(path)
    if not np.isfinite(channels).all():
        raise AudioError(f"Expected finite samples. Received: {path}, which has NaN or infinity.")
    return resample(channels.mean(axis=1), rate, sample_rate)


def audio_duration(path: str | os.PathLike[str]) -> float:
    """Returns an audio file's length in seconds, from its header alone.

    Args:
        path: The file.

    Returns:
        Seconds.

    Raises:
        AudioError: If the file is missing, empty or not audio.
    """
    import soundfile

    path = audio_file(path)
    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(f"Expected an audio file. Received: {path} ({error}).") from error


def check_waveform(
    waveform: Any, sample_rate: int = 16000, target_sample_rate: int = 16000
) -> np.ndarray:
    """Checks samples that a user gives, and resamples them where their rate differs.

    Args:
        waveform: The samples `(samples,)`, floating point in `[-1, 1]`: a list, an array or a
            tensor.
        sample_rate: Its rate, in Hz.
        target_sample_rate: The rate of the result, in Hz.

    Returns:
        The waveform `(samples,)`, float32, at `target_sample_rate`.

    Raises:
        AudioError: If it is empty, has integers, more than one axis, NaN or infinity.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.data import check_waveform

    telephone = np.zeros(8000)
    assert check_waveform(telephone, sample_rate=8000).shape == (16000,)
    ```
    """
    waveform = np.asarray(waveform)
    if waveform.size == 0:
        raise AudioError(f"Expected at least one sample. Received: shape {waveform.shape}.")
    if not np.issubdtype(waveform.dtype, np.floating):
        raise AudioError(
            "Expected floating-point samples in [-1, 1]. Received: dtype "
            f"{waveform.dtype}. Scale integers first: int16 is divided by 32768."
        )
    if waveform.ndim != 1:
        raise AudioError(
            f"Expected one axis, (samples,). Received: shape {waveform.shape}. Average the "
            "channels first: waveform.mean(axis=...); take the rows of a batch one by one."
        )
    if not np.isfinite(waveform).all():
        raise AudioError("Expected finite samples. Received: a waveform with NaN or infinity.")
    return resample(waveform.astype("float32"), sample_rate, target_sample_rate)


def resample(waveform: np.ndarray, sample_rate: int, target_sample_rate: int) -> np.ndarray:
    """Returns a waveform at another rate, band-limited by soxr's high-quality filter.

    Args:
        waveform: The samples `(samples,)`, float32.
        sample_rate: Their rate, in Hz.
        target_sample_rate: The rate of the result, in Hz.

    Returns:
        The waveform `(samples * target_sample_rate / sample_rate,)`, float32.
    """
    for name, rate in (("sample_rate", sample_rate), ("target_sample_rate", target_sample_rate)):
        if not rate > 0:
            raise ValueError(f"Expected {name} to be a positive rate in Hz. Received: {rate}.")
    if sample_rate == target_sample_rate:
        return waveform
    import soxr

    return soxr.resample(waveform, sample_rate, target_sample_rate, quality="HQ")


def audio_file(path: str | os.PathLike[str]) -> Path:
    """Returns the path of a file that has something in it, else raises `AudioError`."""
    path = Path(path)
    if not path.exists():
        raise AudioError(f"Expected an audio file. Received: {path}, which does not exist.")
    if path.is_dir():
        raise AudioError(f"Expected an audio file. Received: {path}, which is a folder.")
    if path.stat().st_size == 0:
        raise AudioError(f"Expected an audio file. Received: {path}, which is empty (0 bytes).")
    return path


def unreadable(path: Path, error: Exception) -> AudioError:
    """Returns the error for a file that libsndfile cannot read."""
    return AudioError(
        f"Expected a readable WAV, FLAC, Ogg or MP3 file. Received: {path} ({error}). Convert "
        "other formats first: ffmpeg -i in.m4a out.flac."
    )


def cut_off(path: Path) -> AudioError:
    """Returns the error for a file that is not whole."""
    return AudioError(
        f"Expected a whole audio file. Received: {path}, which ends before the length that its "
        "header gives. Copy or download it again."
    )


def is_cut_off(path: Path, samples: int, expected: int, log: str) -> bool:
    """Whether libsndfile read less of a file than there once was.

    Args:
        path: the file.
        samples: how many samples were read, of each channel.
        expected: how many its header gives.
        log: libsndfile's log, `SoundFile.extra_info`.
    """
    return samples < expected - MP3_MARGIN or _wav_is_cut_off(log) or _ogg_is_cut_off(path)


# Encoders of MP3 differ in how they count the first and the last frame of 1152 samples.
MP3_MARGIN = 2 * 1152
# What programs that write to a pipe put for a length they do not know yet.
UNKNOWN_LENGTHS = (0x7FFFFFFF, 0xFFFFFFFF)
# Bytes of a WAV header, which some programs count as data.
WAV_MARGIN = 64


def _wav_is_cut_off(log: str) -> bool:
    # libsndfile reads what there is of a WAV that was cut off, and only its log tells.
    for line in log.splitlines():
        if line.startswith("data : ") and "(should be " in line:
            declared, actual = line.removeprefix("data : ").removesuffix(")").split(" (should be ")
            return int(declared) not in UNKNOWN_LENGTHS and int(declared) > int(actual) + WAV_MARGIN
    return False


def _ogg_is_cut_off(path: Path) -> bool:
    # libsndfile drops the last page of an Opus file that was cut off inside it.
    with open(path, "rb") as file:
        if file.read(4) != b"OggS":
            return False
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65307))  # the largest page: RFC 3533, section 6
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if not page.startswith(b"OggS"):
        return True
    # 27 bytes of header, the last of them the number of segments, then each segment's size.
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) < 27 or len(page) < 27 + page[26] + sum(segments)
