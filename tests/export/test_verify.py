import sys

import numpy as np
import pytest

from keras_contextnet.data import Utterance
from keras_contextnet.export import (
    Agreement,
    ExportDifferenceError,
    export_litert,
    verify_litert,
)
from keras_contextnet.export.litert_model import operators, read_model, write_model
from keras_contextnet.export.verify import judge

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def recordings(utterances):
    """Half a second each, so that the model is traced for one shape."""
    return [waveform[8000:16000] for waveform in utterances[:3]]


@pytest.fixture(scope="module")
def altered_file(litert_file, tmp_path_factory):
    """A file of another model: its output's biases are others."""
    model = read_model(litert_file.read_bytes())
    for graph, operator, name in operators(model):
        output = graph.tensors[operator.outputs[0]]
        if name == "FULLY_CONNECTED" and b"output_projection" in output.name:
            buffer = model.buffers[graph.tensors[operator.inputs[2]].buffer]
            biases = np.asarray(buffer.data, np.uint8).view(np.float32)
            buffer.data = np.frombuffer(biases[::-1].tobytes(), np.uint8)
    path = tmp_path_factory.mktemp("verify") / "altered.tflite"
    path.write_bytes(write_model(model))
    return path


@pytest.fixture
def altered_conversion(monkeypatch, altered_file):
    """Has every export convert to that file."""
    from keras_contextnet.export import litert

    altered = altered_file.read_bytes()
    monkeypatch.setattr(litert, "_convert", lambda model: read_model(altered))
    monkeypatch.setattr(litert, "cut_encode_signature", lambda model: None)


@pytest.fixture
def spoken(recordings, tmp_path):
    """Returns a function of texts: utterances whose files hold the recordings."""
    import soundfile

    folder = tmp_path / "speech"
    folder.mkdir()

    def spoken(texts):
        listed = []
        for index, text in enumerate(texts):
            audio = folder / f"{index}.wav"
            soundfile.write(audio, recordings[index], 16000, subtype="FLOAT")
            listed.append(Utterance(id=str(index), audio=audio, text=text))
        return listed

    return spoken


def test_finds_the_model_in_its_file(run, tiny_model, litert_file, recordings):
    found = verify_litert(tiny_model, litert_file, recordings)
    assert found == Agreement(recordings=3, equal=3, changed_words=0.0)
    assert found.change == 0


def test_takes_a_single_recording(run, tiny_model, litert_file, recordings):
    assert verify_litert(tiny_model, litert_file, recordings[0]).recordings == 1


def test_finds_another_model(run, tiny_model, altered_file, recordings):
    with pytest.raises(ExportDifferenceError, match=r"3 of 3 recordings differ") as caught:
        verify_litert(tiny_model, altered_file, recordings)
    found = caught.value.agreement
    assert found.equal == 0
    assert found.change == found.changed_words > 0


def test_compares_with_texts_where_all_are_known(run, tiny_model, litert_file, recordings, spoken):
    own = [tiny_model.transcribe(waveform) for waveform in recordings]
    assert all(text.split() for text in own)
    found = verify_litert(tiny_model, litert_file, spoken(own))
    assert (found.model_word_errors, found.file_word_errors) == (0.0, 0.0)
    mixed = [*spoken(own)[:2], recordings[2]]
    assert verify_litert(tiny_model, litert_file, mixed).model_word_errors is None


def test_the_change_of_word_errors_counts_where_texts_are_known(
    run, tiny_model, altered_file, spoken
):
    """Both are wrong about everything: in words that nobody says there is nothing to lose."""
    found = verify_litert(
        tiny_model, altered_file, spoken(["x", "y", "z"]), "dynamic_int8", "warn", 1e9
    )
    assert found.changed_words > 0
    assert found.change == abs(found.file_word_errors - found.model_word_errors)


def test_counts_tokens_where_there_is_no_tokenizer(
    run, monkeypatch, tiny_model, litert_file, recordings
):
    monkeypatch.setattr(tiny_model, "tokenizer", None)
    found = verify_litert(tiny_model, litert_file, recordings)
    assert (found.equal, found.changed_words) == (3, 0.0)


@pytest.mark.parametrize("before", [None, b"the file of yesterday"])
def test_a_file_that_differs_is_not_written(
    run, altered_conversion, tiny_model, recordings, tmp_path, before
):
    path = tmp_path / "asr.tflite"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(ExportDifferenceError):
        export_litert(tiny_model, path, verify=recordings)
    left = [path] if before is not None else []
    assert list(tmp_path.iterdir()) == left
    assert [file.read_bytes() for file in left] == ([before] if before else [])


def test_a_warning_leaves_it_at_that(run, altered_conversion, tiny_model, recordings, tmp_path):
    path = tmp_path / "asr.tflite"
    with pytest.warns(UserWarning, match="1 of 1 recordings differ"):
        found = export_litert(tiny_model, path, verify=recordings[0], on_difference="warn")
    assert found.equal == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["asr.tflite", "tokens.txt"]


def test_returns_what_it_found(run, convert_once, converted_model, recordings, tmp_path):
    path = tmp_path / "asr.tflite"
    assert export_litert(converted_model, path, verify=recordings).equal == 3
    assert export_litert(converted_model, path) is None


@pytest.mark.parametrize(
    ("quantization", "equal", "changed", "accepted"),
    [
        (None, 10, 0.0, True),
        (None, 9, 0.001, False),
        ("float16", 9, 0.001, False),
        ("float16", 9, 0.0, False),
        ("dynamic_int8", 0, 0.02, True),
        ("int8", 0, 0.0201, False),
        ("int8", 10, 0.0, True),
        ("int8", 0, float("nan"), False),
        ("int8", 0, float("inf"), False),
    ],
)
def test_eight_bits_may_change_some_words(quantization, equal, changed, accepted):
    agreement = Agreement(recordings=10, equal=equal, changed_words=changed)
    if accepted:
        judge(agreement, quantization, "error", 0.02)
        return
    with pytest.raises(ExportDifferenceError) as caught:
        judge(agreement, quantization, "error", 0.02)
    assert caught.value.agreement is agreement
    with pytest.warns(UserWarning, match="recordings differ"):
        judge(agreement, quantization, "warn", 0.02)


@pytest.mark.parametrize(("theirs", "accepted"), [(0.12, True), (0.08, True), (0.13, False)])
def test_word_errors_may_move_either_way(theirs, accepted):
    agreement = Agreement(10, 0, 0.5, model_word_errors=0.1, file_word_errors=theirs)
    if accepted:
        judge(agreement, "int8", "error", 0.02 + 1e-9)
        return
    with pytest.raises(ExportDifferenceError, match=r"Received: 3\.0%"):
        judge(agreement, "int8", "error", 0.02 + 1e-9)


@pytest.mark.parametrize(
    ("verify", "message"),
    [
        ([], "an empty list"),
        ("missing.wav", "missing.wav"),
        ([np.full(8000, np.inf, "float32")], "infinity"),
    ],
)
def test_unusable_recordings_are_an_error(convert_once, converted_model, tmp_path, verify, message):
    with pytest.raises(ValueError, match=message):
        export_litert(converted_model, tmp_path / "asr.tflite", verify=verify)
    assert not any(tmp_path.iterdir())


def test_an_unknown_reaction_is_an_error(tiny_model, tmp_path):
    with pytest.raises(ValueError, match="on_difference='ignore'"):
        export_litert(tiny_model, tmp_path / "asr.tflite", on_difference="ignore")


def test_says_which_extra_is_missing(
    monkeypatch, convert_once, converted_model, recordings, tmp_path
):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r'pip install "keras-contextnet\[litert\]"'):
        export_litert(converted_model, tmp_path / "asr.tflite", verify=recordings)
    assert not any(tmp_path.iterdir())


def test_a_front_end_that_tells_no_rate_is_named(another_model, frames_frontend, tmp_path):
    model = another_model(frontend=frames_frontend(name="frontend"))
    with pytest.raises(ValueError, match="front end with a `sample_rate`"):
        export_litert(model, tmp_path / "asr.tflite", verify=np.zeros(8000, "float32"))
