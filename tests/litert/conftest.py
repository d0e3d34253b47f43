"""One exported file, small and trained, and what its model says to two recordings."""

from pathlib import Path

import numpy as np
import pytest

import keras_contextnet as kc

NEMO_FILES = Path(__file__).parents[1] / "interop" / "nemo_files"


@pytest.fixture(scope="session")
def model():
    return kc.ContextNet.from_nemo(NEMO_FILES / "aggregate.nemo")


@pytest.fixture(scope="session")
def litert_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("litert") / "asr.tflite"
    model.export(path, format="litert")
    return path


@pytest.fixture(scope="session")
def talkative_file(make_contextnet, tmp_path_factory):
    """Of a model with random weights, which hears tokens everywhere."""
    path = tmp_path_factory.mktemp("litert") / "talkative.tflite"
    make_contextnet().export(path, format="litert")
    return path


@pytest.fixture(scope="session")
def recordings():
    """Two waveforms, and the token ids that NeMo finds in each."""
    with np.load(NEMO_FILES / "aggregate.npz") as reference:
        return [
            (audio[:samples], reference[f"greedy_{row}"].tolist())
            for row, (audio, samples) in enumerate(
                zip(reference["audio"], reference["audio_len"], strict=True)
            )
        ]
