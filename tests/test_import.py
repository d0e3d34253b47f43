"""What `import keras_contextnet` costs and offers."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_contextnet as kc
from keras_contextnet.registration import REGISTERED, StandIn

SUBPACKAGES = [
    "data",
    "decoding",
    "layers",
    "litert",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "text",
]

OPTIONAL = [
    "tensorflow_text",
    "tensorflow_io",
    "soundfile",
    "soxr",
    "sentencepiece",
    "jiwer",
    "rich",
    "typer",
    "matplotlib",
    "huggingface_hub",
    "ai_edge_litert",
]


def run(program, *arguments):
    """Returns what a program prints in an interpreter of its own."""
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("module", ["keras_contextnet", "keras_contextnet.litert"])
def test_import_loads_no_other_package(module):
    """Beyond NumPy for audio."""
    heavy = {"keras", "tensorflow", "jax", "torch", *OPTIONAL}
    assert run(f"import sys, {module}; print(*{heavy!r} & set(sys.modules))") == []
    assert run("import sys, keras_contextnet; print('numpy' in sys.modules)") == ["False"]


def test_import_of_all_loads_no_optional_dependency():
    """Beyond what `import keras` loads by itself."""
    program = (
        "import sys, keras\n"
        "before = set(sys.modules)\n"
        "from keras_contextnet import *\n"
        f"print(*({set(OPTIONAL)!r} & (set(sys.modules) - before)))"
    )
    assert run(program) == []


def test_public_names_exist():
    modules = [kc, *(importlib.import_module(f"keras_contextnet.{name}") for name in SUBPACKAGES)]
    for module in modules:
        assert sorted(set(module.__all__)) == sorted(module.__all__)
        assert set(module.__all__) <= set(dir(module))
        for name in module.__all__:
            assert getattr(module, name) is not None, f"{module.__name__}.{name}"
    assert issubclass(kc.ContextNet, kc.models.ContextNet)
    with pytest.raises(AttributeError, match="'keras_contextnet' has no attribute 'Contextnet'"):
        kc.Contextnet  # noqa: B018


def test_stub_has_the_public_names():
    body = ast.parse(Path(kc.__file__).with_suffix(".pyi").read_text()).body
    imported = {
        name.asname for line in body if isinstance(line, ast.ImportFrom) for name in line.names
    }
    assigned = next(ast.literal_eval(line.value) for line in body if isinstance(line, ast.Assign))
    assert assigned == kc.__all__
    assert imported | {"__version__"} == set(kc.__all__)


def test_every_registered_class_has_a_stand_in():
    for name in kc.__all__:
        getattr(kc, name)
    importlib.import_module("keras_contextnet.training")
    registered = {
        name.removeprefix("keras_contextnet>"): value
        for name, value in keras.saving.get_custom_objects().items()
        if name.startswith("keras_contextnet>")
    }
    assert set(registered) == {name for names in REGISTERED.values() for name in names}
    for module, names in REGISTERED.items():
        for name in names:
            assert registered[name] is getattr(getattr(kc, module), name)


def test_a_stand_in_is_the_class_to_its_users():
    swish = StandIn("layers", "Swish")
    assert swish(name="a").get_config() == swish.from_config({"name": "a"}).get_config()
    assert isinstance(swish(), kc.layers.Swish)
    assert swish.__name__ == "Swish"
    assert "keras_contextnet.layers.Swish" in repr(swish)


@pytest.fixture(scope="module")
def saved_model(make_contextnet, tmp_path_factory):
    model = make_contextnet()
    schedule = kc.schedules.TransformerSchedule(0.001, warmup_steps=10)
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=kc.losses.RNNTLoss())
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path


LOAD = """
import sys
model = keras.models.load_model(sys.argv[1])
import keras_contextnet as kc
assert type(model) is kc.ContextNet, model
assert type(model.tokenizer) is kc.text.CharacterTokenizer
assert type(model.loss) is kc.losses.RNNTLoss
assert type(model.optimizer._learning_rate) is kc.schedules.TransformerSchedule
keras = sys.modules["keras"]
assert type(keras.__spec__.loader) is type(keras.__loader__) is type(kc.__loader__)
"""
ORDERS = {
    "keras_first": "import keras, keras_contextnet",
    "keras_second": "import keras_contextnet, keras",
    "by_way_of_tensorflow": "import keras_contextnet; from tensorflow import keras",
    "from_within": "from keras_contextnet.layers import Swish; import keras",
    "litert_first": "import keras_contextnet.litert, keras",
    "reloaded": """
import importlib, keras_contextnet
importlib.reload(keras_contextnet)
import keras
importlib.reload(keras_contextnet)
importlib.reload(keras)
""",
    "at_once": """
import threading
modules = ["keras", "keras_contextnet.models", "keras_contextnet.text"]
threads = [threading.Thread(target=__import__, args=(module,)) for module in modules]
for act in (threading.Thread.start, threading.Thread.join):
    for thread in threads:
        act(thread)
import keras
""",
}


@pytest.mark.parametrize("imports", ORDERS.values(), ids=ORDERS)
def test_keras_loads_saved_models_in_every_order_of_imports(imports, saved_model):
    run(imports + LOAD, saved_model)


def test_another_package_that_asks_all_finders_as_well():
    """Two finders that ask each other for Keras do not ask for ever."""
    program = """
import importlib.util, sys
import keras_contextnet

class Other:
    def find_spec(self, name, path=None, target=None):
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in others)
        return next((spec for spec in specs if spec is not None), None)

sys.meta_path.insert(0, Other())
spec = importlib.util.find_spec("keras")
assert spec.loader.is_package("keras") and "keras" not in sys.modules
import keras
assert "keras_contextnet>Swish" in keras.saving.get_custom_objects()
"""
    run(program)


def test_without_keras_the_missing_module_is_named():
    program = (
        "import sys; sys.modules['keras'] = None\n"
        "import keras_contextnet\n"
        "try: keras_contextnet.layers\n"
        "except ModuleNotFoundError as error: print(error.name)"
    )
    assert run(program) == ["keras"]
