"""What `import keras_contextnet` costs and offers."""

import importlib
import os
import subprocess
import sys

import keras_contextnet as kc

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


def test_import_loads_no_optional_dependency():
    """Beyond what `import keras` loads by itself."""
    program = (
        "import sys, keras\n"
        "before = set(sys.modules)\n"
        "import keras_contextnet\n"
        f"print(*({set(OPTIONAL)!r} & (set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == []


def test_public_names_exist():
    modules = [kc, *(importlib.import_module(f"keras_contextnet.{name}") for name in SUBPACKAGES)]
    for module in modules:
        assert sorted(set(module.__all__)) == sorted(module.__all__)
        for name in module.__all__:
            assert getattr(module, name) is not None, f"{module.__name__}.{name}"
    assert issubclass(kc.ContextNet, kc.models.ContextNet)


SUBPACKAGES = ["data", "decoding", "layers", "losses", "metrics", "models", "text"]
