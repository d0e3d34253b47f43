import collections
import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.interop.torch_file import TorchFile, TorchFileError

WEIGHTS = {
    "encoder.weight": np.arange(6, dtype="float32").reshape(2, 3),
    "steps": np.array(7, "int64"),
    "empty": np.zeros((0, 3), "float32"),
}


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_reads_tensors_of_either_byte_order(byte_order, writer):
    file = TorchFile(writer.torch_zip(WEIGHTS, byte_order=byte_order))
    assert file.shapes == {"encoder.weight": (2, 3), "steps": (), "empty": (0, 3)}
    for name, expected in WEIGHTS.items():
        array = file.read(name)
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_every_float_becomes_float32(dtype, writer):
    numbers = np.array([[1.5, -2.25], [0.0, 65504.0]])
    array = TorchFile(writer.torch_zip({"x": numbers.astype(dtype)})).read("x")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, numbers)


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_bfloat16_becomes_float32(byte_order, writer):
    """1, -2 and the largest finite number, as bits."""
    bits = np.array([0x3F80, 0xC000, 0x7F7F], "uint16")
    array = TorchFile(writer.torch_zip({"x": bits}, byte_order=byte_order)).read("x")
    np.testing.assert_array_equal(array, [1.0, -2.0, np.float32(3.3895314e38)])


def describe(offset=0, shape=(2, 2), strides=(2, 1), size=4, kind=b"FloatStorage", key=b"0"):
    """A pickle of one tensor "x" whose description is what the arguments say."""
    numbers = [b"(" + b"".join(b"I%d\n" % n for n in row) + b"t" for row in (shape, strides)]
    return (
        b"\x80\x02}(X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        b"ctorch\n%s\nX\x01\x00\x00\x00%sX\x03\x00\x00\x00cpuI%d\ntQI%d\n"
        % (kind, key, size, offset)
        + b"".join(numbers)
        + b"I00\nNtRu."
    )


def test_views_of_a_storage_are_what_their_strides_say(writer):
    """A transposed view that begins at the second number."""
    numbers = {"x": np.arange(8, dtype="float32")}
    pickled = describe(offset=1, shape=(2, 3), strides=(1, 2), size=8)
    array = TorchFile(writer.torch_zip(numbers, pickled)).read("x")
    np.testing.assert_array_equal(array, [[1, 3, 5], [2, 4, 6]])


@pytest.mark.parametrize(
    "description",
    [
        {"offset": 1},
        {"shape": (3, 2)},
        {"strides": (3, 1)},
        {"size": 5},
        {"size": 3},
        {"shape": (1 << 30, 4), "strides": (0, 1)},
        {"key": b"9"},
    ],
    ids=str,
)
def test_a_description_beyond_the_numbers_is_an_error(description, writer):
    file = TorchFile(writer.torch_zip({"x": np.ones(4, "float32")}, describe(**description)))
    with pytest.raises(TorchFileError, match=r"Expected.*(truncated|at most)"):
        file.read("x")


@pytest.mark.parametrize(
    "description",
    [{"offset": -1}, {"shape": (-2, 2)}, {"strides": (1,)}, {"kind": b"QuantStorage"}],
    ids=str,
)
def test_an_absurd_description_is_an_error(description, writer):
    with pytest.raises(TorchFileError, match=r"Expected"):
        TorchFile(writer.torch_zip({"x": np.ones(4, "float32")}, describe(**description)))


class Calls:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    "function",
    [os.system, os.mkdir, eval, exec, __import__, getattr, io.open, sys.exit, np.load],
    ids=lambda function: function.__name__,
)
def test_nothing_is_executed(function, nested, protocol, tmp_path, writer):
    canary = tmp_path / "executed"
    arguments = {
        os.system: f"touch {canary}",
        os.mkdir: str(canary),
        io.open: (str(canary), "w"),
        sys.exit: 0,
    }.get(function, f"__import__('os').mkdir({str(canary)!r})")
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    content = Calls(function, *arguments)
    pickled = pickle.dumps({"x": [content]} if nested else content, protocol)
    with pytest.raises(TorchFileError, match=r"tensors and containers only.*It was not run"):
        TorchFile(writer.torch_zip({}, pickled))
    assert not canary.exists()


def test_admitted_functions_cannot_be_changed_for_later_files(writer):
    """BUILD sets attributes of whatever it is given: here of the function that makes tensors."""
    function = b"ctorch._utils\n_rebuild_tensor_v2\n"
    for state in (b"}X\x01\x00\x00\x00aK\x01s", b"(N}X\x08\x00\x00\x00__call__K\x01st"):
        with pytest.raises(TorchFileError):
            TorchFile(writer.torch_zip({}, b"\x80\x02" + function + state + b"b."))
    TorchFile(writer.torch_zip(WEIGHTS)).read("steps")


@pytest.mark.parametrize(
    "content",
    [[1, 2], 3, {"x": 1}, {"x": [1]}, {1: 2}, collections.OrderedDict(a="b"), None],
    ids=str,
)
def test_other_contents_than_tensors_are_an_error(content, writer):
    with pytest.raises(TorchFileError, match=r"dictionary of tensors\. Received"):
        TorchFile(writer.torch_zip({}, pickle.dumps(content, 2)))


def test_compressed_members_are_refused(writer):
    """They can unpack to any size, and PyTorch writes none."""
    with pytest.raises(TorchFileError, match="not compressed"):
        TorchFile(writer.torch_zip(WEIGHTS, compression=zipfile.ZIP_DEFLATED))


def test_the_format_before_zip_is_an_error_that_says_what_to_do():
    with pytest.raises(TorchFileError, match=r"PyTorch 1\.6.*Save older ones again"):
        TorchFile(pickle.dumps(WEIGHTS, 2))


def test_an_archive_without_a_pickle_is_an_error():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights/data/0", b"")
    with pytest.raises(TorchFileError, match=r"one data\.pkl.*Received: \[\]"):
        TorchFile(buffer.getvalue())


@given(data=st.data())
def test_damage_gives_our_error_or_readable_tensors(data, writer):
    whole = bytearray(writer.torch_zip(WEIGHTS))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        file = TorchFile(damaged)
        for name in file.shapes:
            file.read(name)
    except TorchFileError:
        pass


@given(instructions=st.binary(max_size=60))
def test_damaged_pickles_give_our_error(instructions, writer):
    try:
        TorchFile(writer.torch_zip({}, b"\x80\x02" + instructions))
    except TorchFileError:
        pass
