import sys
from pathlib import Path

import keras
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from memory_plan import MemoryPlan, make_model


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
