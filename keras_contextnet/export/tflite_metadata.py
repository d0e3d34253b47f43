"""TFLite metadata: what Android Studio and metadata readers show of a `.tflite` file.

A model carries it as a buffer named TFLITE_METADATA that holds a flatbuffer of its own, of the
schema `metadata_schema.fbs` of TensorFlow Lite Support. The constants below are the positions of
that schema's fields. No package that is still kept up writes it, so this one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_contextnet.export.litert_model import new_buffer, signature_graph

BUFFER_NAME = b"TFLITE_METADATA"
FILE_IDENTIFIER = b"M001"
MINIMUM_PARSER = "1.0.1"  # the first that knows files of the type vocabulary

# Number of fields of each table, and the position of those written here.
MODEL_FIELDS, NAME, DESCRIPTION, VERSION, SUBGRAPHS, AUTHOR, LICENSE, FILES, PARSER = 8, *range(8)
SUBGRAPH_FIELDS, INPUTS, OUTPUTS = 9, 2, 3
TENSOR_FIELDS = 7
FILE_FIELDS, FILE_TYPE = 5, 2
VOCABULARY = 5  # of the types of associated files


def attach_tflite_metadata(model: Any, about: dict[str, Any], files: Sequence[str]) -> None:
    """Adds the metadata buffer to a `ModelT`.

    Args:
        model: `ModelT`. The metadata's tensors are those of its signature `transcribe`.
        about: what `vocabulary.metadata` returns.
        files: names of the files in the zip archive behind the model.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    entry = schema.MetadataT()
    entry.name = BUFFER_NAME
    entry.buffer = new_buffer(model, _flatbuffer(model, about, files))
    model.metadata = [*(model.metadata or []), entry]


def _flatbuffer(model: Any, about: dict[str, Any], files: Sequence[str]) -> Any:
    import flatbuffers
    import numpy as np

    builder = flatbuffers.Builder(1024)
    signature, graph = signature_graph(model, "transcribe")
    described = about["signatures"]["transcribe"]
    subgraph = _table(
        builder,
        SUBGRAPH_FIELDS,
        {
            INPUTS: _tensors(builder, graph.inputs, signature.inputs, described["inputs"]),
            OUTPUTS: _tensors(builder, graph.outputs, signature.outputs, described["outputs"]),
        },
    )
    associated = [
        _table(
            builder,
            FILE_FIELDS,
            {NAME: builder.CreateString(name)},
            {FILE_TYPE: VOCABULARY} if name == about["vocabulary"] else {},
        )
        for name in files
    ]
    fields = {
        NAME: builder.CreateString(about["name"]),
        DESCRIPTION: builder.CreateString(_description(about)),
        VERSION: builder.CreateString(about["keras_contextnet_version"]),
        SUBGRAPHS: _vector(builder, [subgraph]),
        AUTHOR: builder.CreateString("keras-contextnet"),
        FILES: _vector(builder, associated),
        PARSER: builder.CreateString(MINIMUM_PARSER),
    }
    if about["license"]:
        fields[LICENSE] = builder.CreateString(about["license"])
    builder.Finish(_table(builder, MODEL_FIELDS, fields), file_identifier=FILE_IDENTIFIER)
    return np.frombuffer(bytes(builder.Output()), np.uint8)


def _description(about: dict[str, Any]) -> str:
    return (
        f"Speech of {about['sample_rate']} Hz to {about['vocabulary_size']} token ids, of which "
        f"{about['blank_id']} is the blank; a frame is {about['frame_seconds']} s. Signatures: "
        f"{', '.join(about['signatures'])}. More in metadata.json."
    )


def _tensors(builder: Any, tensors: Any, entries: Any, described: dict[str, str]) -> int:
    names = {entry.tensorIndex: entry.name.decode() for entry in entries}
    tables = [
        _table(
            builder,
            TENSOR_FIELDS,
            {
                NAME: builder.CreateString(names[tensor]),
                DESCRIPTION: builder.CreateString(described[names[tensor]]),
            },
        )
        for tensor in tensors
    ]
    return _vector(builder, tables)


def _table(
    builder: Any, fields: int, offsets: dict[int, int], bytes_: dict[int, int] | None = None
) -> int:
    """Writes a table: `offsets` to what was written before, and small numbers, by field."""
    builder.StartObject(fields)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, value in (bytes_ or {}).items():
        builder.PrependInt8Slot(field, value, 0)
    return builder.EndObject()


def _vector(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
