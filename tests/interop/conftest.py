"""NeMo's files for tests: real ones, edited ones, broken ones."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

import nemo_writer

from keras_contextnet.interop.nemo.archive import read_nemo

FILES = Path(__file__).parent / "nemo_files"


@pytest.fixture(scope="session")
def nemo_files():
    """The folder of the files that NeMo wrote, with what it computes from them."""
    return FILES


@pytest.fixture(scope="session")
def writer():
    """The module that writes such files without NeMo."""
    return nemo_writer


@pytest.fixture
def edited(tmp_path):
    """Copies a file that NeMo wrote with other settings: `edit` changes the dict in place."""

    def edited(name, edit=lambda config: None, mode="w:", prefix="./", drop=(), **contents):
        files = {**read_nemo(FILES / f"{name}.nemo"), **contents}
        config = yaml.safe_load(files["model_config.yaml"])
        edit(config)
        files["model_config.yaml"] = yaml.safe_dump(config).encode()
        for member in drop:
            del files[member]
        path = tmp_path / f"{name}.nemo"
        path.write_bytes(nemo_writer.nemo_bytes(files, mode, prefix))
        return path

    return edited


@pytest.fixture(scope="session")
def reference():
    """Reads what NeMo computes from a file, with time before channels as Keras has it."""

    def reference(name):
        with np.load(FILES / f"{name}.npz") as arrays:
            arrays = dict(arrays)
        for key, array in arrays.items():
            if key in ("features", "encoded", "pred") or key.startswith("block_"):
                arrays[key] = array.transpose(0, 2, 1)
        return arrays

    return reference
