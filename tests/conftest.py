"""What every test shares: the same random numbers each time, and tests of one backend only."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
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
