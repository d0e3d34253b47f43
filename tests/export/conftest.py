"""A tiny model with a decisive joiner, its exports made once, and audio to run them on."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.data import load_audio

EXAMPLES = Path(__file__).parents[2] / "examples"


def make_tiny_model(**overrides):
    """Two strided blocks and 28 outputs; random weights whose tokens follow the audio."""
    keras.utils.set_random_seed(7)
    parts = {
        "encoder": kc.ContextNetEncoder(
            blocks=[
                {"filters": 16, "num_convs": 1, "strides": 2},
                {"filters": 24, "num_convs": 1, "strides": 2, "squeeze_excite_conv": False},
            ]
        ),
        "predictor": kc.Predictor(vocabulary_size=29, embedding_size=16, units=24),
        "joiner": kc.Joiner(vocabulary_size=29, units=32),
        "tokenizer": kc.text.CharacterTokenizer(),
        "max_symbols_per_frame": 3,
    }
    model = kc.ContextNet(**{**parts, **overrides})
    # Random weights answer the same to everything. Larger ones let the audio and the tokens so far
    # move the logits; the blank's bias then makes it win about every other step.
    for layer, scale in ((model.joiner.encoder_projection, 8), (model.predictor.embedding, 60)):
        layer.trainable_variables[0].assign(layer.trainable_variables[0] * scale)
    bias = np.zeros(model.joiner.vocabulary_size, "float32")
    bias[model.blank_id] = 3.0
    model.joiner.output_projection.bias.assign(bias)
    return model


@pytest.fixture(scope="session")
def tiny_model():
    return make_tiny_model()


@pytest.fixture
def another_model():
    """Returns a function of parts that replace the tiny model's."""
    return make_tiny_model


@pytest.fixture(scope="session")
def saved_model_folder(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "saved_model"
    tiny_model.export(folder, format="tf_saved_model")
    return folder


@pytest.fixture(scope="session")
def litert_file(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "asr.tflite"
    tiny_model.export(path, format="litert")
    return path


@pytest.fixture(scope="session")
def utterances():
    """The waveforms of the shipped utterances."""
    lines = (EXAMPLES / "audio" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [load_audio(EXAMPLES / "audio" / json.loads(line)["path"]) for line in lines]


BATCHES = {
    "one": lambda waveforms: waveforms[:1],
    "one_frame": lambda waveforms: [waveforms[0][:160]],
    "one_sample": lambda waveforms: [waveforms[0][:1]],
    "padded": lambda waveforms: [waveforms[0], waveforms[1][:8000], waveforms[2][:100]],
    "all": lambda waveforms: waveforms,
}


@pytest.fixture(scope="session", params=BATCHES)
def batch(request, utterances):
    """Model inputs: one utterance, a tiny one, some padded with noise, all."""
    waveforms = BATCHES[request.param](utterances)
    audio_length = np.array([len(waveform) for waveform in waveforms], "int32")
    noise = np.random.default_rng(0).normal(size=(len(waveforms), audio_length.max()))
    audio = noise.astype("float32")
    for row, waveform in zip(audio, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return {"audio": audio, "audio_length": audio_length}


@pytest.fixture(scope="session")
def expected(tiny_model, batch):
    """What Keras gives for `batch`."""
    return tiny_model.predict_on_batch(batch)
