"""Reads what is written by the fields' positions in the schema, `metadata_schema.fbs`."""

import pytest

from keras_contextnet.export.encode_signature import cut_encode_signature
from keras_contextnet.export.litert_model import make_default, read_model, write_model
from keras_contextnet.export.signatures import SIGNATURES
from keras_contextnet.export.tflite_metadata import attach_tflite_metadata
from keras_contextnet.export.vocabulary import metadata

pytestmark = pytest.mark.tensorflow_only

# ModelMetadata: name, description, version, subgraph_metadata, author, license, associated_files,
# min_parser_version. SubGraphMetadata: name, description, input_tensor_metadata,
# output_tensor_metadata. TensorMetadata: name, description.
# AssociatedFile: name, description, type.


class Table:
    """A table of a flatbuffer, field by field."""

    def __init__(self, buffer, position):
        from flatbuffers.table import Table as Reader

        self.reader = Reader(buffer, position)

    def _place(self, field):
        return self.reader.Offset(4 + 2 * field)

    def string(self, field):
        place = self._place(field)
        return self.reader.String(place + self.reader.Pos).decode() if place else None

    def tables(self, field):
        from flatbuffers.number_types import UOffsetTFlags

        place = self._place(field)
        if not place:
            return []
        start = self.reader.Vector(place)
        step = UOffsetTFlags.bytewidth
        return [
            Table(self.reader.Bytes, self.reader.Indirect(start + step * index))
            for index in range(self.reader.VectorLen(place))
        ]

    def byte(self, field):
        from flatbuffers.number_types import Int8Flags

        return self.reader.GetSlot(4 + 2 * field, 0, Int8Flags)


@pytest.fixture
def attached(converted, converted_model):
    """Returns a function of files and a licence: the buffer, read back from the model's bytes."""

    def attach(files, license=None, model=converted_model):
        import flatbuffers

        cut_encode_signature(converted)
        make_default(converted, "transcribe")
        attach_tflite_metadata(converted, metadata(model, license=license), files)
        written = read_model(write_model(converted))
        (entry,) = [entry for entry in written.metadata if entry.name == b"TFLITE_METADATA"]
        buffer = bytes(written.buffers[entry.buffer].data)
        assert buffer[4:8] == b"M001"
        root = flatbuffers.encode.Get(flatbuffers.packer.uoffset, buffer, 0)
        return written, Table(buffer, root)

    return attach


def test_describes_the_model(attached, converted_model):
    import keras_contextnet as kc

    _, root = attached(["metadata.json", "tokens.txt"], "CC-BY-4.0 © Ærø")
    assert root.string(0) == converted_model.name
    assert "16000 Hz" in root.string(1)
    assert "28 is the blank" in root.string(1)
    assert root.string(2) == kc.__version__
    assert root.string(4) == "keras-contextnet"
    assert root.string(5) == "CC-BY-4.0 © Ærø"
    assert root.string(7) == "1.0.1"  # the first with files of the type vocabulary


def test_describes_the_tensors_of_transcribe_in_their_order(attached):
    written, root = attached(["metadata.json"])
    (subgraph,) = root.tables(3)
    graph = written.subgraphs[0]
    (signature,) = [s for s in written.signatureDefs if s.signatureKey == b"transcribe"]
    for field, tensors, entries, described in (
        (2, graph.inputs, signature.inputs, SIGNATURES["transcribe"]["inputs"]),
        (3, graph.outputs, signature.outputs, SIGNATURES["transcribe"]["outputs"]),
    ):
        names = {entry.tensorIndex: entry.name.decode() for entry in entries}
        assert [t.string(0) for t in subgraph.tables(field)] == [names[t] for t in tensors]
        for tensor in subgraph.tables(field):
            assert tensor.string(1) == described[tensor.string(0)]


def test_names_the_files_in_the_archive(attached):
    _, root = attached(["metadata.json", "tokens.txt"])
    files = {file.string(0): file.byte(2) for file in root.tables(6)}
    assert files == {"metadata.json": 0, "tokens.txt": 5}  # of unknown type, and vocabulary


def test_has_no_licence_unless_one_is_given(attached):
    _, root = attached(["metadata.json"])
    assert root.string(5) is None


def test_other_metadata_stays(attached):
    written, _ = attached(["metadata.json"])
    names = [entry.name for entry in written.metadata]
    assert names.count(b"TFLITE_METADATA") == 1
    assert b"min_runtime_version" in names
