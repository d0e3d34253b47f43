"""What the examples' tests share, and that they can import chromium.py beside them."""

import importlib
import sys
from pathlib import Path

import pytest

import keras_contextnet as kc

sys.path.insert(0, str(Path(__file__).parent))

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def utterances():
    """The ten recordings beside the examples."""
    return kc.data.read_manifest(EXAMPLES / "audio" / "manifest.jsonl")


@pytest.fixture
def import_from(monkeypatch):
    """Returns what imports a file of an example's folder by name, and forgets all of them again."""
    forgotten = []

    def importer(folder):
        monkeypatch.syspath_prepend(folder)
        forgotten.extend(path.stem for path in folder.glob("*.py") if path.stem != "__main__")
        for name in forgotten:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module

    yield importer
    for name in forgotten:
        sys.modules.pop(name, None)
