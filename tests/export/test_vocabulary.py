import json
import zipfile

import pytest

import keras_contextnet as kc
from keras_contextnet.export.vocabulary import append_files, metadata, to_json, tokens_text


def test_a_line_is_a_piece():
    tokenizer = kc.text.CharacterTokenizer("ab▁é'\x0b\x85\u2028")
    lines = tokens_text(tokenizer).split("\n")
    assert lines == [*tokenizer.pieces, ""]


@pytest.mark.parametrize("character", ["\n", "\r"])
def test_a_line_break_in_a_piece_is_an_error(character):
    with pytest.raises(ValueError, match=r"piece 2 of `tokenizer`"):
        tokens_text(kc.text.CharacterTokenizer(f"ab{character}"))


def test_metadata_is_what_a_program_must_know(tiny_model):
    about = json.loads(to_json(metadata(tiny_model, "float16", "CC-BY-4.0")))
    assert about.pop("signatures").keys() == {"transcribe", "encode", "predict", "join"}
    assert about == {
        "name": tiny_model.name,
        "keras_contextnet_version": kc.__version__,
        "license": "CC-BY-4.0",
        "quantization": "float16",
        "sample_rate": 16000,
        "hop_seconds": 0.01,
        "frame_seconds": 0.04,
        "max_symbols_per_frame": 3,
        "blank_id": 28,
        "vocabulary_size": 29,
        "state_size": 48,
        "vocabulary": "tokens.txt",
        "pieces": "characters",
    }


def test_metadata_of_a_model_that_knows_neither_text_nor_seconds(another_model, frames_frontend):
    about = metadata(another_model(frontend=frames_frontend(name="frontend"), tokenizer=None))
    unknown = ("sample_rate", "hop_seconds", "frame_seconds", "vocabulary", "pieces")
    assert [about[name] for name in unknown] == [None] * 5


def test_metadata_tells_sentencepiece_from_characters():
    texts = ["one two three four five six seven"] * 20
    tokenizer = kc.text.train_sentencepiece(texts, vocabulary_size=20)
    model = kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=[{"filters": 4, "num_convs": 1}]),
        predictor=kc.Predictor(21, embedding_size=4, units=4),
        joiner=kc.Joiner(21, units=4),
        tokenizer=tokenizer,
    )
    assert metadata(model)["pieces"] == "sentencepiece"


def test_files_are_appended_behind_what_is_there(tmp_path):
    files = {"metadata.json": "{}\n", "tokens.txt": "▁the\né\n"}
    path, again = tmp_path / "asr.tflite", tmp_path / "again.tflite"
    for file in (path, again):
        file.write_bytes(b"\x1c\0\0\0TFL3 a graph")
        append_files(file, files)
    assert path.read_bytes().startswith(b"\x1c\0\0\0TFL3 a graph")
    assert path.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name).decode("utf-8") for name in archive.namelist()} == files


def test_json_is_readable():
    assert to_json({"license": "Ærø"}) == '{\n  "license": "Ærø"\n}\n'
