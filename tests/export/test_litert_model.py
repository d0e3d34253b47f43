import numpy as np
import pytest

from keras_contextnet.export.litert_model import (
    constant,
    make_default,
    name_tensors_apart,
    new_buffer,
    new_operator,
    new_tensor,
    operator_name,
    operators,
    rank,
    read_model,
    set_version,
    signature_graph,
    write_model,
)

pytestmark = pytest.mark.tensorflow_only

AUDIO = {
    "audio": np.random.default_rng(0).normal(scale=0.1, size=(1, 8000)).astype("float32"),
    "audio_length": np.array([8000], "int32"),
}


def assert_equal_outputs(run, first, second):
    expected = run(first, "transcribe", AUDIO)
    for name, value in run(second, "transcribe", AUDIO).items():
        np.testing.assert_array_equal(value, expected[name])


def called_subgraphs(model):
    """Names of operators that run subgraphs, with those of the subgraphs."""
    return sorted(
        (name, attribute, model.subgraphs[index].name)
        for _, operator, name in operators(model)
        if operator.builtinOptions is not None
        for attribute, index in vars(operator.builtinOptions).items()
        if attribute.endswith("SubgraphIndex")
    )


def test_what_is_read_and_written_computes_the_same(run, litert_file):
    content = litert_file.read_bytes()
    assert_equal_outputs(run, content, write_model(read_model(content)))


def test_writing_again_changes_nothing(converted):
    once = write_model(read_model(write_model(converted)))
    assert write_model(read_model(once)) == once


def test_equal_constants_are_stored_once(converted):
    graph = converted.subgraphs[0]
    values = np.arange(1000, dtype=np.float32)
    size = len(write_model(converted))
    for tensor in graph.tensors[:2]:
        tensor.buffer = new_buffer(converted, values)
    assert len(write_model(converted)) < size + 1.5 * values.nbytes
    assert graph.tensors[0].buffer == graph.tensors[1].buffer
    stored = [bytes(b.data) for b in converted.buffers if b.data is not None]
    assert len(set(stored)) == len(stored)


def test_tensors_that_nothing_uses_are_dropped(run, converted, converted_content):
    for graph in converted.subgraphs:
        unused = new_tensor(graph, graph.tensors[0], b"unused")
        # Among the others, which are numbered anew.
        graph.tensors.insert(0, graph.tensors.pop(unused))
        for operator in graph.operators:
            operator.inputs = [tensor + (tensor >= 0) for tensor in operator.inputs]
            operator.outputs = [tensor + 1 for tensor in operator.outputs]
        graph.inputs = [tensor + 1 for tensor in graph.inputs]
        graph.outputs = [tensor + 1 for tensor in graph.outputs]
    for signature in converted.signatureDefs:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex += 1
    content = write_model(converted)
    for graph in converted.subgraphs:
        assert b"unused" not in [tensor.name for tensor in graph.tensors]
    assert_equal_outputs(run, converted_content, content)


def test_reads_constants_behind_the_flatbuffer(run, converted, converted_content):
    """Where the converter puts those of files of more than 2 GB."""
    index = max(
        range(len(converted.buffers)),
        key=lambda i: 0 if converted.buffers[i].data is None else len(converted.buffers[i].data),
    )
    buffer = converted.buffers[index]
    data = bytes(buffer.data)
    buffer.data, buffer.size = None, len(data)
    # Written by the schema alone: `write_model` is for constants that have been read.
    import flatbuffers

    for _ in range(2):  # the second time, the length is known
        builder = flatbuffers.Builder()
        buffer.offset = max(buffer.offset, 2)
        builder.Finish(converted.Pack(builder), file_identifier=b"TFL3")
        front = bytes(builder.Output())
        buffer.offset = len(front)
    model = read_model(front + data)
    assert bytes(model.buffers[index].data) == data
    assert_equal_outputs(run, converted_content, write_model(model))


def test_the_default_is_the_first_and_subgraphs_find_each_other(run, converted, converted_content):
    before = called_subgraphs(converted)
    assert {name for name, _, _ in before} == {"WHILE", "IF"}
    assert signature_graph(converted, "transcribe")[0].subgraphIndex != 0
    make_default(converted, "transcribe")
    assert signature_graph(converted, "transcribe")[0].subgraphIndex == 0
    assert called_subgraphs(converted) == before
    for signature in converted.signatureDefs:
        inputs = converted.subgraphs[signature.subgraphIndex].inputs
        assert {entry.tensorIndex for entry in signature.inputs} == set(inputs)
    assert_equal_outputs(run, converted_content, write_model(converted))


def test_an_unknown_signature_is_an_error(converted):
    with pytest.raises(KeyError, match="decode"):
        signature_graph(converted, "decode")


def test_an_operator_s_code_is_added_once(converted):
    codes = len(converted.operatorCodes)
    for _ in range(2):
        operator = new_operator(converted, "ATAN2", [0, 1], [2])
        assert operator_name(converted, operator) == "ATAN2"
    assert len(converted.operatorCodes) == codes + 1
    # Old readers' field has no room for larger numbers.
    assert converted.operatorCodes[-1].deprecatedBuiltinCode == 127
    new_operator(converted, "MUL", [0, 1], [2])
    assert len(converted.operatorCodes) == codes + 1


def test_a_version_is_raised_and_never_lowered(converted):
    def version():
        return next(
            converted.operatorCodes[operator.opcodeIndex].version
            for _, operator, name in operators(converted)
            if name == "FULLY_CONNECTED"
        )

    set_version(converted, "FULLY_CONNECTED", 100)
    assert version() == 100
    set_version(converted, "FULLY_CONNECTED", 1)
    assert version() == 100


def test_constants_are_those_of_float32(converted):
    graph = converted.subgraphs[0]
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = graph.tensors[new_tensor(graph, graph.tensors[0], b"x")]
    assert constant(converted, tensor) is None
    tensor.shape, tensor.buffer = np.array(values.shape), new_buffer(converted, values)
    np.testing.assert_array_equal(constant(converted, tensor), values)
    assert rank(tensor) == 2
    tensor.type += 2
    assert constant(converted, tensor) is None


def test_tensors_of_equal_names_are_numbered(run, converted):
    model = read_model(write_model(converted))
    for graph in model.subgraphs:
        for tensor, name in zip(graph.tensors, (b"x", b"x", b"x_1"), strict=False):
            tensor.name = name
    name_tensors_apart(model)
    names = [bytes(tensor.name) for graph in model.subgraphs for tensor in graph.tensors]
    assert names[:3] == [b"x", b"x_1", b"x_1_1"]
    assert len(set(names)) == len(names)
    assert_equal_outputs(run, write_model(converted), write_model(model))
