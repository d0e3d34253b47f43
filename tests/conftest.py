"""What every test shares: the same random numbers each time, and tests of one backend only."""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("keras_contextnet", deadline=None, derandomize=True, max_examples=20)
settings.load_profile("keras_contextnet")


def pytest_configure(config):
    config.addinivalue_line("markers", "tensorflow_only: runs where TensorFlow is the backend")
    config.addinivalue_line("markers", "jax_only: runs where JAX is the backend")


def pytest_collection_modifyitems(items):
    for item in items:
        for backend in ("tensorflow", "jax"):
            wanted = item.get_closest_marker(f"{backend}_only") is not None
            if wanted and keras.backend.backend() != backend:
                reason = f"needs KERAS_BACKEND={backend}"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _same_start():
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def bfloat16_products():
    """Training multiplies in bfloat16."""
    from keras_contextnet.layers import set_product_dtype

    set_product_dtype("bfloat16")
    yield
    set_product_dtype(None)


@pytest.fixture(scope="session")
def examples():
    """The shipped utterances: lines of the manifest, with the audio's whole path."""
    folder = Path(__file__).parents[1] / "examples" / "audio"
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "audio": folder / json.loads(line)["path"]} for line in lines]


@pytest.fixture(scope="session")
def make_contextnet():
    """Makes small models with 28 characters and a blank; arguments take the parts' places.

    Random weights answer the same to everything. `decisive` makes some larger, so that the audio
    and the tokens so far move the logits, and biases the blank to win about every other step.
    """
    import keras_contextnet as kc

    def make_contextnet(decisive=True, seed=7, **overrides):
        keras.utils.set_random_seed(seed)
        blocks = [
            {"filters": 8, "num_convs": 1, "strides": 2, "residual": False},
            {"filters": 16, "num_convs": 1, "strides": 2},
        ]
        makers = {
            "encoder": lambda: kc.ContextNetEncoder(blocks=blocks, name="encoder"),
            "predictor": lambda: kc.Predictor(29, embedding_size=8, units=12, name="predictor"),
            "joiner": lambda: kc.Joiner(29, units=16, name="joiner"),
            "tokenizer": kc.text.CharacterTokenizer,
            "max_symbols_per_frame": lambda: 3,
        }
        parts = {name: make() for name, make in makers.items() if name not in overrides}
        model = kc.ContextNet(**parts, **overrides)
        if decisive:
            for layer, scale in (
                (model.joiner.encoder_projection, 8),
                (model.predictor.embedding, 60),
            ):
                weight = layer.trainable_variables[0]
                weight.assign(weight * scale)
            bias = np.zeros(model.joiner.vocabulary_size, "float32")
            bias[model.blank_id] = 0.45
            model.joiner.output_projection.bias.assign(bias)
        return model

    return make_contextnet


@pytest.fixture(scope="session")
def quickly():
    """Arguments of `compile` for tests that are not about compiled steps.

    TensorFlow takes seconds to trace what it then runs in milliseconds; with JAX it is the other
    way round.
    """
    return {"run_eagerly": keras.backend.backend() == "tensorflow"}
