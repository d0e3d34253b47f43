"""NeMo's preprocessor and augmentation as layers."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from keras_contextnet.interop.nemo.archive import NemoFileError
from keras_contextnet.interop.nemo.settings import Settings
from keras_contextnet.interop.torch_file import TorchFile
from keras_contextnet.layers import LogMelSpectrogram, SpecAugment

FIRST_VERSION_OF_NEW_FEATURES = (2, 5)
_WINDOWS = ("hann", "hamming", "blackman", "bartlett")
_GUARDS = {"tiny": float(np.finfo("float32").tiny), "eps": float(np.finfo("float32").eps)}


def has_legacy_features(settings: Settings) -> bool:
    """Whether a model was trained with the features of NeMo until 2.4, as far as its file says."""
    version = re.match(r"v?(\d+)\.(\d+)", str(settings.get("nemo_version", "")))
    if version is None:
        return True
    return (int(version[1]), int(version[2])) < FIRST_VERSION_OF_NEW_FEATURES


def make_frontend(settings: Settings, legacy: bool, **kwargs: Any) -> LogMelSpectrogram:
    """Returns the front end of a `preprocessor` section.

    Args:
        settings: the section.
        legacy: bool. The features of NeMo until 2.4: reflect padding, and one more frame.
        **kwargs: of `LogMelSpectrogram`.

    Raises:
        NemoFileError: for a setting that the front end has not.
    """
    _refuse_other_preprocessors(settings)
    sample_rate = settings.integer("sample_rate", 16000)
    window = _samples(settings, "n_window_size", "window_size", 0.02, sample_rate)
    hop = _samples(settings, "n_window_stride", "window_stride", 0.01, sample_rate)
    fft_length = settings.integer("n_fft", 2 ** math.ceil(math.log2(window)))
    if fft_length % 2 or fft_length < window:
        raise settings.unsupported("n_fft", fft_length, f"an even number of at least {window}")
    guard = _log_zero_guard(settings)
    clamp = settings.require("log_zero_guard_type", "add", "add", "clamp") == "clamp"
    high_hz = settings.number("highfreq", 0)
    try:
        return LogMelSpectrogram(
            sample_rate=sample_rate,
            num_bands=settings.integer("features", 64),
            window_seconds=window / sample_rate,
            hop_seconds=hop / sample_rate,
            fft_length=fft_length,
            low_hz=settings.number("lowfreq", 0),
            high_hz=high_hz or None,
            preemphasis=0.0 if settings.is_null("preemph") else settings.number("preemph", 0.97),
            log_offset=0.0 if clamp else guard,
            log_floor=guard if clamp else 0.0,
            normalize=_normalizes(settings),
            window_function=settings.require("window", "hann", *_WINDOWS),
            frame_count="floor_plus_one" if legacy else "floor",
            pad_mode="reflect" if legacy else "constant",
            **kwargs,
        )
    except NemoFileError:
        raise
    except ValueError as error:
        raise NemoFileError(f"The section preprocessor is not supported: {error}") from error


def check_frontend(frontend: LogMelSpectrogram, weights: TorchFile) -> None:
    """Raises NemoFileError where the file's own window or filters are not the front end's.

    They follow from the settings; a file where they do not was made by something else.
    """
    for name, expected in (
        ("preprocessor.featurizer.window", frontend.window_values),
        ("preprocessor.featurizer.fb", frontend.filters.T[None]),
    ):
        shape = weights.shapes.get(name)
        if shape is not None and (
            shape != expected.shape
            or not np.allclose(weights.read(name), expected, rtol=1e-3, atol=1e-6)
        ):
            raise NemoFileError(
                f"Expected the tensor {name} to follow from the section preprocessor. Received: "
                f"another, of shape {shape}."
            )


def make_augmenter(settings: Settings, **kwargs: Any) -> SpecAugment:
    """Returns the augmentation of a `spec_augment` section.

    Time masks of a number of frames, which `SpecAugment` has not, become the paper's 5% each.
    """
    width = settings.get("time_width", 10)
    return SpecAugment(
        frequency_masks=settings.integer("freq_masks", 0, at_least=0),
        frequency_width=settings.integer("freq_width", 10, at_least=0),
        time_masks=settings.integer("time_masks", 0, at_least=0),
        time_ratio=min(1.0, width) if isinstance(width, float) else 0.05,
        **kwargs,
    )


def _refuse_other_preprocessors(settings: Settings) -> None:
    settings.require_target("AudioToMelSpectrogramPreprocessor")
    for key, supported in (
        ("log", True),
        ("mag_power", 2.0),
        ("frame_splicing", 1),
        ("exact_pad", False),
        ("use_torchaudio", False),
        ("mel_norm", "slaney"),
    ):
        settings.require(key, supported, supported)


def _log_zero_guard(settings: Settings) -> float:
    value = settings.get("log_zero_guard_value")
    if isinstance(value, str) and value in _GUARDS:
        return _GUARDS[value]
    return settings.number("log_zero_guard_value", 2.0**-24)


def _normalizes(settings: Settings) -> bool:
    if settings.is_null("normalize"):
        return False
    return settings.require("normalize", "per_feature", "per_feature", "NA") == "per_feature"


def _samples(settings: Settings, key: str, seconds_key: str, default: float, rate: int) -> int:
    if key in settings:
        return settings.integer(key)
    return max(1, int(settings.number(seconds_key, default) * rate))
