import sys
from pathlib import Path

import keras
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from memory_plan import MemoryPlan, make_model


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory):
    """Many runs of the same model: JAX compiles its steps for the first one."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    for name, value in zip(names, (str(tmp_path_factory.mktemp("jax")), 0.2), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in zip(names, before, strict=True):
        jax.config.update(name, value)


@pytest.fixture
def plan():
    return MemoryPlan()


@pytest.fixture
def make_compiled(quickly):
    """Makes the same small model each time, compiled with SGD or another optimizer."""

    def make_compiled(optimizer=None, **arguments):
        keras.utils.set_random_seed(7)
        model = make_model(random=False)
        model.compile(optimizer or keras.optimizers.SGD(1e-3), **quickly, **arguments)
        return model

    return make_compiled
