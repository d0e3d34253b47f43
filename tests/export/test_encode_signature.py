import numpy as np
import pytest

from keras_contextnet.export.encode_signature import cut_encode_signature
from keras_contextnet.export.litert_model import operator_name, signature_graph, write_model

pytestmark = pytest.mark.tensorflow_only


def test_gives_what_transcribe_gave_beside_its_own(run, converted, converted_content, padded_noise):
    before = run(converted_content, "transcribe", padded_noise)
    cut_encode_signature(converted)
    content = write_model(converted)
    encoded = run(content, "encode", padded_noise)
    transcribed = run(content, "transcribe", padded_noise)
    assert set(encoded) == {"frames", "frame_length"}
    assert set(transcribed) == {"tokens", "token_length", "token_frame"}
    for name, value in {**encoded, **transcribed}.items():
        np.testing.assert_array_equal(value, before[name])


def test_has_no_operator_too_many(converted):
    cut_encode_signature(converted)
    _, graph = signature_graph(converted, "encode")
    names = [operator_name(converted, operator) for operator in graph.operators]
    assert "WHILE" not in names
    assert "DEPTHWISE_CONV_2D" in names
    read = {tensor for operator in graph.operators for tensor in operator.inputs}
    read.update(graph.outputs)
    assert all(read.intersection(operator.outputs) for operator in graph.operators)


def test_shares_its_weights(converted, converted_content):
    cut_encode_signature(converted)
    buffers = {
        key: {tensor.buffer for tensor in signature_graph(converted, key)[1].tensors} - {0}
        for key in ("encode", "transcribe")
    }
    write_model(converted)
    assert buffers["encode"] <= buffers["transcribe"]


def test_what_is_done_to_one_graph_leaves_the_other(converted):
    cut_encode_signature(converted)
    (_, encode), (_, transcribe) = (
        signature_graph(converted, key) for key in ("encode", "transcribe")
    )
    for objects in ("tensors", "operators"):
        ours, theirs = ({id(o) for o in getattr(graph, objects)} for graph in (encode, transcribe))
        assert not ours & theirs
