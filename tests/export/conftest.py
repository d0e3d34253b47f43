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


@pytest.fixture(scope="session")
def run():
    """Returns a function that runs a signature of a LiteRT file's content."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")

    def run(content, key, inputs):
        interpreter = runtime.Interpreter(model_content=bytes(content))
        return interpreter.get_signature_runner(key)(**inputs)

    return run


@pytest.fixture(scope="session")
def padded_noise():
    """Three rows of audio, of which padding takes none, half and nearly all."""
    audio = np.random.default_rng(1).normal(scale=0.1, size=(3, 8000)).astype("float32")
    return {"audio": audio, "audio_length": np.array([8000, 4000, 800], "int32")}


@pytest.fixture(scope="session")
def converted_model():
    """A model whose every kind of weights is large enough to be quantised."""
    return make_tiny_model(
        encoder=kc.ContextNetEncoder(
            blocks=[{"filters": 32, "num_convs": 1, "strides": 2}], kernel_size=17, name="encoder"
        ),
        predictor=kc.Predictor(vocabulary_size=29, embedding_size=32, units=24),
    )


@pytest.fixture(scope="session")
def converted_content(converted_model):
    """That model as the converter and the passes over its encoder leave it."""
    from keras_contextnet.export.litert import _convert
    from keras_contextnet.export.litert_model import write_model

    return write_model(_convert(converted_model))


@pytest.fixture
def converted(converted_content):
    """The same as a `ModelT` to change."""
    from keras_contextnet.export.litert_model import read_model

    return read_model(converted_content)


@pytest.fixture
def convert_once(monkeypatch, converted_content):
    """Has every export start from the one conversion of `converted_model`."""
    from keras_contextnet.export import litert
    from keras_contextnet.export.litert_model import read_model

    monkeypatch.setattr(litert, "_convert", lambda model: read_model(converted_content))


@pytest.fixture(scope="session")
def convert_encode(tmp_path_factory):
    """Returns a function that converts a model's signature `encode` as it is."""
    import tensorflow as tf

    from keras_contextnet.export.saved_model import save_signatures
    from keras_contextnet.export.signatures import make_signatures
    from keras_contextnet.silence import silent_stderr

    def convert(model):
        folder = tmp_path_factory.mktemp("encode") / "saved_model"
        save_signatures(model, {"encode": make_signatures(model)["encode"]}, folder)
        with silent_stderr():
            converter = tf.lite.TFLiteConverter.from_saved_model(
                str(folder), signature_keys=["encode"]
            )
            return converter.convert()

    return convert


@keras.saving.register_keras_serializable(package="tests")
class Frames(keras.layers.Layer):
    """A front end that is no spectrogram: 80 samples are a frame."""

    def call(self, inputs, mask=None):
        frames = keras.ops.shape(inputs)[1] // 80
        return keras.ops.reshape(inputs[:, : frames * 80], (-1, frames, 80))

    def compute_mask(self, inputs, mask=None):
        return mask[:, ::80][:, : keras.ops.shape(inputs)[1] // 80]


@pytest.fixture
def frames_frontend():
    return Frames


def unusual_activation(x):
    """Of operators that the passes do not know, on channels and over time."""
    return keras.ops.softmax(x, axis=-1) + 0.1 * keras.ops.max(x, axis=1, keepdims=True)


NEMO = Path(__file__).parents[1] / "interop" / "nemo_files"
BLOCK = {"filters": 16, "num_convs": 2, "strides": 2}


def make_with_encoder(
    blocks=(BLOCK, {"filters": 24, "num_convs": 1}), frontend=None, name="encoder", **options
):
    encoder = kc.ContextNetEncoder(blocks=list(blocks), name=name, **options)
    return make_tiny_model(encoder=encoder, frontend=frontend)


@pytest.fixture
def with_encoder():
    """Returns a function of the arguments of a tiny model's encoder."""
    return make_with_encoder


# In one encoder, since each conversion takes seconds.
KINDS_OF_BLOCKS = [
    {"strides": 3, "squeeze_excite_context": 7},
    {"padding": "causal", "kernel_size": 4},
    {"padding": "causal", "squeeze_excite_context": 4, "activation": "gelu"},
    {"squeeze_excite_conv": False, "squeeze_excite_bias": False, "activate_last_conv": False},
    {"residual": False, "activate_last_conv": False, "activation": "relu"},
    {"strides": 2, "residual": False, "activation": "tanh"},
    {"activation": "elu"},
]
ENCODERS = {
    "paper": make_with_encoder,
    "all_kinds": lambda: make_with_encoder(
        [{"filters": 8, "num_convs": 1, **kind} for kind in KINDS_OF_BLOCKS]
    ),
    "unknown_operators": lambda: make_with_encoder(activation=unusual_activation),
    "no_spectrogram": lambda: make_with_encoder(frontend=Frames(name="frontend")),
    "nemo": lambda: kc.ContextNet.from_nemo(NEMO / "options.nemo"),
}


@pytest.fixture(scope="session", params=ENCODERS)
def encoder_case(request, convert_encode):
    """A model, and its signature `encode` as converted, with no pass over the encoder."""
    model = ENCODERS[request.param]()
    return model, convert_encode(model)
