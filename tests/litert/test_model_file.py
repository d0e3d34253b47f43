import hashlib
import json
import random
import zipfile

import pytest

import keras_contextnet as kc
from keras_contextnet.litert import LiteRTFileError, read_metadata

GRAPH = b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) * 8
METADATA = {
    "sample_rate": 16000,
    "frame_seconds": 0.08,
    "max_symbols_per_frame": 5,
    "blank_id": 3,
    "vocabulary_size": 4,
    "state_size": 8,
    "signatures": {},
    "graph_bytes": len(GRAPH),
    "graph_sha256": hashlib.sha256(GRAPH).hexdigest(),
}


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes a file like an exported one, whose graph is nonsense."""

    def write(metadata=METADATA, graph=GRAPH, tokens="▁a\nb\u2028\n \n", **files):
        path = tmp_path / "asr.tflite"
        path.write_bytes(graph)
        contents = {"metadata.json": json.dumps(metadata), "tokens.txt": tokens, **files}
        with zipfile.ZipFile(path, "a") as archive:
            for name, text in contents.items():
                if text is not None:
                    archive.writestr(name, text)
        return path

    return write


def test_metadata_and_vocabulary(write):
    assert read_metadata(write()) == {**METADATA, "tokens": ["▁a", "b\u2028", " "]}
    assert read_metadata(str(write(tokens=None)))["tokens"] is None


def test_a_file_without_checksum_is_read(write):
    metadata = {name: METADATA[name] for name in METADATA if not name.startswith("graph")}
    assert read_metadata(write(metadata)) == {**metadata, "tokens": ["▁a", "b\u2028", " "]}


def test_a_file_cut_anywhere_is_an_error(write):
    path = write()
    whole = path.read_bytes()
    for length in {*range(0, len(whole), 37), *range(len(whole) - 30, len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(LiteRTFileError, match=r"asr\.tflite"):
            read_metadata(path)


def test_a_changed_byte_is_an_error_or_changes_nothing(write):
    """Bytes that nobody reads are changed too: dates in the archive, say."""
    path, generator = write(), random.Random(0)
    whole = path.read_bytes()
    right, refused = read_metadata(path), 0
    places = [*range(len(GRAPH), len(whole)), *generator.sample(range(len(GRAPH)), 100)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            metadata = read_metadata(path)
        except LiteRTFileError:
            refused += 1
            continue
        # The name of a file in the archive is no part of its checksum.
        assert metadata in (right, {**right, "tokens": None}), place
        assert place >= len(GRAPH) or place < 4
    assert refused > 0.7 * len(places)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metadata": None}, "'sample_rate' of type int. Received: None"),
        ({"metadata": [1]}, "'sample_rate' of type int"),
        ({"metadata": {**METADATA, "sample_rate": None}}, "'sample_rate' of type int"),
        ({"metadata": {**METADATA, "blank_id": "3"}}, "'blank_id' of type int. Received: '3'"),
        ({"metadata": {**METADATA, "state_size": None}}, "Export the model again"),
        ({"metadata.json": "{"}, "JSONDecodeError"),
        ({"metadata.json": None}, "it has no metadata.json"),
        ({"graph": GRAPH[:-1] + b"x"}, "changed or damaged"),
        ({"graph": GRAPH[:-1]}, "changed or damaged"),
        ({"graph": b"RIFF" + GRAPH}, r"begins with b'RIFF\\x1c"),
    ],
)
def test_another_file_is_an_error_that_names_it(write, arguments, message):
    path = write(**arguments)
    with pytest.raises(LiteRTFileError, match=message) as error:
        read_metadata(path)
    assert str(path) in str(error.value)


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(LiteRTFileError, match=r"none\.tflite, which does not exist"):
        read_metadata(tmp_path / "none.tflite")
    with pytest.raises(LiteRTFileError, match="is a folder"):
        read_metadata(tmp_path)
    (tmp_path / "empty.tflite").touch()
    with pytest.raises(LiteRTFileError, match="is empty"):
        read_metadata(tmp_path / "empty.tflite")


@pytest.mark.tensorflow_only
def test_of_an_exported_file(litert_file, model):
    metadata = read_metadata(litert_file)
    assert metadata["tokens"] == model.tokenizer.pieces
    assert metadata["sample_rate"] == model.frontend.sample_rate
    assert metadata["blank_id"] == model.blank_id
    assert metadata["keras_contextnet_version"] == kc.__version__
    assert set(metadata["signatures"]) == {"transcribe", "encode", "predict", "join"}
