import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.export.sharing_builder import sharing_builder

pytestmark = pytest.mark.tensorflow_only

FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=5)
LONGS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)
SIZES = st.lists(st.integers(-1, 2**31 - 1), min_size=1, max_size=4)
CONSTANTS = st.binary(min_size=1, max_size=40)
TENSORS = st.lists(
    st.tuples(FLOATS, LONGS, SIZES, CONSTANTS, st.text(max_size=5)), min_size=1, max_size=6
)


def place(table, field):
    """Where a table's vector starts, and 0 for one that is not there."""
    offset = table.Offset(4 + 2 * field)
    return table.Vector(offset) if offset else 0


def packed(tensors):
    """A flatbuffer of TFLite's schema: its reader."""
    from tensorflow.lite.python import schema_py_generated as schema

    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, model.buffers = [], []
    for scale, zero_point, shape, data, name in tensors:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array(scale, np.float32)
        tensor.quantization.zeroPoint = np.array(zero_point, np.int64)
        tensor.shape, tensor.name = np.array(shape, np.int32), name
        buffer.data = np.frombuffer(data, np.uint8)
        graph.tensors.append(tensor)
        model.buffers.append(buffer)
    model.subgraphs = [graph]
    builder = sharing_builder()
    builder.Finish(model.Pack(builder))
    return schema.Model.GetRootAs(bytes(builder.Output()), 0)


@settings(max_examples=30)
@given(tensors=TENSORS)
def test_reads_back_what_was_written_at_aligned_places(tensors):
    model = packed(tensors)
    for index, (scale, zero_point, shape, data, name) in enumerate(tensors):
        tensor, buffer = model.Subgraphs(0).Tensors(index), model.Buffers(index)
        quantization = tensor.Quantization()
        assert [quantization.Scale(i) for i in range(quantization.ScaleLength())] == scale
        length = quantization.ZeroPointLength()
        assert [quantization.ZeroPoint(i) for i in range(length)] == zero_point
        assert [tensor.Shape(i) for i in range(tensor.ShapeLength())] == shape
        assert bytes(buffer.DataAsNumpy()) == data
        assert tensor.Name().decode() == name
        # Fields of the schema: QuantizationParameters.scale, .zero_point, Tensor.shape.
        assert place(quantization._tab, 2) % 4 == 0
        assert place(quantization._tab, 3) % 8 == 0
        assert place(tensor._tab, 0) % 4 == 0
        assert place(buffer._tab, 0) % 16 == 0  # force_align of the schema


def test_equal_vectors_are_one():
    builder = sharing_builder()
    first = builder.CreateNumpyVector(np.arange(100, dtype=np.float32))
    size = builder.Offset()
    assert builder.CreateNumpyVector(np.arange(100, dtype=np.float32)) == first
    assert builder.Offset() == size


def test_equal_strings_are_one():
    builder = sharing_builder()
    first = builder.CreateString("encoder/β")
    size = builder.Offset()
    assert builder.CreateString("encoder/β".encode()) == first
    assert builder.Offset() == size


@pytest.mark.parametrize(
    "others",
    [
        np.zeros(2, np.float32),
        np.zeros(1, np.int64),
        np.zeros(8, np.uint8),
        np.zeros(4, np.int16),
    ],
)
def test_equal_bytes_of_another_type_are_another_vector(others):
    builder = sharing_builder()
    vector = builder.CreateNumpyVector(np.zeros(2, np.int32))
    assert builder.CreateNumpyVector(others) != vector


def test_a_string_is_no_vector_of_the_same_bytes():
    builder = sharing_builder()
    assert builder.CreateString("abcd") != builder.CreateNumpyVector(
        np.frombuffer(b"abcd", np.uint8)
    )
