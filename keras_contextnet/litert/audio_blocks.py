"""Audio block by block, so that hours of it take no more memory than seconds."""

from __future__ import annotations

import os
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_contextnet.data.audio import (
    UNKNOWN_LENGTHS,
    WAV_MARGIN,
    AudioError,
    audio_file,
    check_waveform,
    cut_off,
    is_cut_off,
    unreadable,
)

BLOCK_SECONDS = 10


def read_blocks(path: str | os.PathLike[str], sample_rate: int) -> Iterator[np.ndarray]:
    """Yields an audio file's waveform block by block.

    WAV files of integers are read by the standard library, all others by soundfile. Channels are
    averaged; another rate is resampled by soxr.

    Args:
        path: the file.
        sample_rate: the rate of the result, in Hz.

    Yields:
        Waveforms (samples,), float32, in [-1, 1].

    Raises:
        AudioError: if the file is missing, empty, cut off, not audio, or has NaN or infinite
            samples.
        ImportError: if reading it takes a package that is not installed.
    """
    path = audio_file(path)
    try:
        file = wave.open(str(path), "rb")
    except (wave.Error, EOFError):
        rate, blocks = _soundfile_blocks(path)
    else:
        rate, blocks = file.getframerate(), _wave_blocks(file, path)
    return resample_blocks(_averaged(blocks, path), rate, sample_rate)


def check_blocks(
    blocks: Iterable[Any], sample_rate: int, target_sample_rate: int
) -> Iterator[np.ndarray]:
    """Checks waveforms that follow one another, and resamples them where their rate differs."""
    if not sample_rate > 0:
        raise ValueError(f"Expected `sample_rate` to be a rate in Hz. Received: {sample_rate}.")
    return resample_blocks(map(_checked, blocks), sample_rate, target_sample_rate)


def resample_blocks(
    blocks: Iterable[np.ndarray], sample_rate: int, target_sample_rate: int
) -> Iterator[np.ndarray]:
    """Yields waveforms that follow one another at another rate, with no seams."""
    if sample_rate == target_sample_rate:
        yield from blocks
        return
    try:
        import soxr
    except ImportError as error:
        raise ImportError(
            f"Expected audio of {target_sample_rate} Hz. Received: {sample_rate} Hz, which takes "
            "soxr to resample: pip install soxr."
        ) from error
    stream = soxr.ResampleStream(sample_rate, target_sample_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, "float32"), last=True)


def _checked(block: Any) -> np.ndarray:
    try:
        return check_waveform(block)
    except AudioError as error:
        raise AudioError(f"`audio`: {error}") from None


def _averaged(blocks: Iterable[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    """Yields the mean of the channels of blocks (samples, channels)."""
    empty = True
    for block in blocks:
        if not np.isfinite(block).all():
            raise AudioError(
                f"Expected finite samples. Received: {path}, which has NaN or infinity."
            )
        empty = empty and len(block) == 0
        yield block.mean(axis=1)
    if empty:
        raise AudioError(f"Expected a file with samples in it. Received: {path}, which has none.")


def _wave_blocks(file: wave.Wave_read, path: Path) -> Iterator[np.ndarray]:
    with file:
        width, channels = file.getsampwidth(), file.getnchannels()
        missing = declared = file.getnframes() * width * channels  # bytes
        while data := file.readframes(BLOCK_SECONDS * file.getframerate()):
            missing -= len(data)
            yield _samples(data, width, channels)
    # Rounded down to whole frames.
    unknown = any(0 <= length - declared < width * channels for length in UNKNOWN_LENGTHS)
    if missing > WAV_MARGIN and not unknown:
        raise cut_off(path)


def _samples(data: bytes, width: int, channels: int) -> np.ndarray:
    """Returns PCM as (samples, channels), float32."""
    data = data[: len(data) // (width * channels) * width * channels]
    octets = np.frombuffer(data, np.uint8).reshape(-1, channels, width)
    if width == 1:
        return (octets[..., 0].astype("float32") - 128) / 128
    # As the upper bytes of int32: one scale for every width.
    wide = np.zeros((*octets.shape[:2], 4), np.uint8)  # (samples, channels, 4)
    wide[..., 4 - width :] = octets
    return wide.view("<i4")[..., 0].astype("float32") / np.float32(2**31)


def _soundfile_blocks(path: Path) -> tuple[int, Iterator[np.ndarray]]:
    try:
        import soundfile
    except ImportError as error:
        raise ImportError(
            "Expected a WAV file of 8 to 32 bit integers, the only one that is read without "
            f"soundfile. Received: {path}. Install it: pip install soundfile."
        ) from error
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: headerless .raw
        raise unreadable(path, error) from error

    def blocks() -> Iterator[np.ndarray]:
        count = 0
        with file:
            expected = file.frames
            try:
                while len(block := file.read(BLOCK_SECONDS * file.samplerate, "float32", True)):
                    count += len(block)
                    yield block
            except soundfile.LibsndfileError as error:
                raise unreadable(path, error) from error
            log = file.extra_info
        if is_cut_off(path, count, expected, log):
            raise cut_off(path)

    return file.samplerate, blocks()
