"""Weights that PyTorch saved, read without PyTorch and without executing anything.

A file of `torch.save` is a zip archive: `data.pkl`, a pickle that describes the tensors, and one
file of raw numbers for each storage. A pickle is a program; the one here may call nothing but
functions of this module that make descriptions.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import math
import pickle
import zipfile
from typing import Any

import numpy as np

MAX_PICKLE_BYTES = 64 * 2**20
MAX_TENSOR_BYTES = 2 * 2**30
_STORAGE_DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class TorchFileError(ValueError):
    """The file is not what `torch.save` writes for a dictionary of tensors."""


@dataclasses.dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    size: int  # numbers


@dataclasses.dataclass(frozen=True)
class TorchTensor:
    """Where a tensor's numbers are; lengths and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TorchFile:
    """The tensors of a file that `torch.save` wrote; each is read when it is asked for.

    Args:
        data: bytes, the file's contents.

    Raises:
        TorchFileError: for anything but a dictionary of tensors in PyTorch's zip format.

    Source: the format is described in PyTorch's documentation, "Serialization semantics".
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise TorchFileError(
                "Expected weights in the zip format of PyTorch 1.6 and later. They are truncated, "
                f"corrupt or older ({error}). Save older ones again with a later PyTorch."
            ) from error
        pickles = [name for name in self._archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise TorchFileError(
                "Expected one data.pkl among the weights, as torch.save writes. Received: "
                f"{pickles}"
            )
        self._folder = pickles[0].removesuffix("data.pkl")
        self._byte_order = self._read_byte_order()
        self._tensors = _read_tensors(self._read(pickles[0], MAX_PICKLE_BYTES))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor."""
        return {name: tensor.shape for name, tensor in self._tensors.items()}

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor as an array: float32 for every kind of float."""
        tensor = self._tensors[name]
        numbers = self._read_storage(name, tensor)
        itemsize = numbers.itemsize
        view = np.lib.stride_tricks.as_strided(
            numbers[tensor.offset :],
            shape=tensor.shape,
            strides=[stride * itemsize for stride in tensor.strides],
            writeable=False,
        )
        if tensor.storage.kind == "BFloat16Storage":
            return (view.astype("uint32") << 16).view("float32")
        return view.astype("float32") if view.dtype.kind == "f" else view.astype(view.dtype.name)

    def _read_storage(self, name: str, tensor: TorchTensor) -> np.ndarray:
        storage = tensor.storage
        dtype = np.dtype(self._byte_order + _STORAGE_DTYPES[storage.kind])
        if math.prod(tensor.shape) * dtype.itemsize > MAX_TENSOR_BYTES:
            raise TorchFileError(f"Expected tensors of at most 2 GiB. Received: {name!r}")
        last = tensor.offset + sum(
            (length - 1) * stride
            for length, stride in zip(tensor.shape, tensor.strides, strict=True)
        )
        data = self._read(f"{self._folder}data/{storage.key}", storage.size * dtype.itemsize)
        if len(data) != storage.size * dtype.itemsize or (
            math.prod(tensor.shape) and last >= storage.size
        ):
            raise TorchFileError(
                f"Expected the numbers of {name!r}, shape {tensor.shape}. They are truncated."
            )
        return np.frombuffer(data, dtype)

    def _read_byte_order(self) -> str:
        name = f"{self._folder}byteorder"
        big = name in self._archive.namelist() and self._read(name, 6) == b"big"
        return ">" if big else "<"

    def _read(self, name: str, max_bytes: int) -> bytes:
        try:
            entry = self._archive.getinfo(name)
            # PyTorch compresses nothing; what does may unpack to any size.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > max_bytes:
                raise TorchFileError(
                    f"Expected {name} of at most {max_bytes} bytes, not compressed. Received: "
                    f"{entry.file_size} bytes"
                )
            return self._archive.read(entry)
        except (zipfile.BadZipFile, KeyError, EOFError, OSError, NotImplementedError) as error:
            raise TorchFileError(
                f"Expected to read {name} of the weights. They are truncated or corrupt: {error}"
            ) from error


def _read_tensors(data: bytes) -> dict[str, TorchTensor]:
    try:
        content = _Unpickler(io.BytesIO(data)).load()
    except TorchFileError:
        raise
    # A corrupt pickle fails in as many ways as there are instructions.
    except Exception as error:
        raise TorchFileError(
            f"Expected weights that torch.save wrote. They are corrupt: {error}"
        ) from error
    if not isinstance(content, dict):
        raise TorchFileError(
            f"Expected weights to be a dictionary of tensors. Received: {type(content).__name__}"
        )
    tensors = {}
    for name, tensor in dict.items(content):
        if not isinstance(name, str) or not isinstance(tensor, TorchTensor):
            raise TorchFileError(
                "Expected weights to be a dictionary of tensors. Received: "
                f"{name!r} of type {type(tensor).__name__}"
            )
        tensors[name] = tensor
    return tensors


class _Unpickler(pickle.Unpickler):
    """Admits dictionaries, numbers, strings and descriptions of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _MakeTensor()
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _TakeTensor()
        if module == "torch" and name in _STORAGE_DTYPES:
            return name
        raise TorchFileError(
            f"Expected weights of tensors and containers only. Received: {module}.{name}, which is "
            "code that the file asks to run. It was not run."
        )

    def persistent_load(self, pid: Any) -> _Storage:
        tag, kind, key, _, size = pid
        if tag != "storage" or kind not in _STORAGE_DTYPES or not isinstance(key, str):
            raise TorchFileError(f"Expected a storage of tensors. Received: {pid!r}")
        return _Storage(kind, key, _count(size))


class _MakeTensor:
    """Stands for the function that the pickle calls for a tensor; without attributes to change."""

    __slots__ = ()

    def __call__(
        self, storage: Any, offset: Any, shape: Any, strides: Any, *gradients: Any
    ) -> TorchTensor:
        if not isinstance(storage, _Storage) or len(shape) != len(strides):
            raise TorchFileError("Expected tensors with a storage, and as many strides as axes.")
        return TorchTensor(
            storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides))
        )


class _TakeTensor:
    """Stands for the function that the pickle calls for a parameter: its tensor."""

    __slots__ = ()

    def __call__(self, tensor: Any, *gradients: Any) -> Any:
        return tensor


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**48:
        raise TorchFileError(f"Expected a count in a tensor's description. Received: {value!r}")
    return value
