import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import keras_contextnet as kc
from keras_contextnet.export import export_litert, litert_operators
from keras_contextnet.export.signatures import SIGNATURES

pytestmark = pytest.mark.tensorflow_only

EXAMPLES = Path(__file__).parents[2] / "examples"


BLANK = 28


@pytest.fixture(scope="module")
def interpreter(litert_file):
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    return runtime.Interpreter(str(litert_file))


@pytest.fixture(scope="module")
def transcribe(interpreter):
    return interpreter.get_signature_runner("transcribe")


def test_gives_the_tokens_of_keras(transcribe, batch, expected):
    outputs = transcribe(**batch)
    for name in ("token_length", "tokens", "token_frame"):
        np.testing.assert_array_equal(outputs[name], expected[name])


def test_an_utterance_gives_the_same_alone_and_in_a_batch(transcribe, batch, tiny_model):
    together = transcribe(**batch)
    for row, (audio, samples) in enumerate(zip(*batch.values(), strict=True)):
        alone = transcribe(audio=audio[None, :samples], audio_length=batch["audio_length"][[row]])
        count = alone["token_length"][0]
        assert together["token_length"][row] == count
        np.testing.assert_array_equal(together["tokens"][row, :count], alone["tokens"][0, :count])


def test_the_tiny_model_mixes_tokens_and_blanks(transcribe, utterances):
    """Else the comparisons above compare little."""
    transcripts = []
    for audio in utterances:
        outputs = transcribe(audio=audio[None], audio_length=np.array([len(audio)], "int32"))
        tokens = outputs["tokens"][0, : outputs["token_length"][0]].tolist()
        assert 0 < len(tokens) < outputs["tokens"].shape[1]
        transcripts.append(tokens)
    assert len({tuple(tokens) for tokens in transcripts}) == len(transcripts)
    assert all(len(set(tokens)) > 5 for tokens in transcripts)


@pytest.mark.parametrize("key", SIGNATURES)
def test_signature(interpreter, key):
    runner = interpreter.get_signature_runner(key)
    for received, described in (
        (runner.get_input_details(), SIGNATURES[key]["inputs"]),
        (runner.get_output_details(), SIGNATURES[key]["outputs"]),
    ):
        assert set(received) == set(described)
        for name, detail in received.items():
            assert described[name].startswith(np.dtype(detail["dtype"]).name)
            assert detail["shape_signature"][0] == -1


def test_transcribe_is_the_default(interpreter):
    """For programs that know no signatures."""
    names = [detail["name"] for detail in interpreter.get_output_details()]
    runner = interpreter.get_signature_runner("transcribe")
    details = runner.get_output_details().values()
    assert sorted(names) == sorted(detail["name"] for detail in details)


def test_signatures_of_a_step_decode_as_transcribe_does(interpreter, utterances):
    """What a program does that decodes by itself; the blank starts a text."""
    run = {key: interpreter.get_signature_runner(key) for key in SIGNATURES}
    audio = utterances[0][None]
    inputs = {"audio": audio, "audio_length": np.array([audio.shape[1]], "int32")}
    encoded = run["encode"](**inputs)
    state = np.zeros(run["predict"].get_input_details()["state"]["shape"], "float32")
    read = run["predict"](token=np.array([BLANK], "int32"), state=state)
    tokens, frames = [], []
    for index in range(encoded["frame_length"][0]):
        for _ in range(3):
            frame = encoded["frames"][:, index]
            logits = run["join"](frame=frame, prediction=read["prediction"])["logits"]
            token = logits.argmax(axis=1).astype("int32")
            if token[0] == BLANK:
                break
            tokens.append(token[0])
            frames.append(index)
            read = run["predict"](token=token, state=read["next_state"])
    outputs = run["transcribe"](**inputs)
    count = outputs["token_length"][0]
    assert outputs["tokens"][0, :count].tolist() == tokens
    assert outputs["token_frame"][0, :count].tolist() == frames


@pytest.mark.parametrize("samples", [0, 1, 159])
def test_audio_shorter_than_a_hop_has_no_error(transcribe, samples):
    length = np.array([samples], "int32")
    outputs = transcribe(audio=np.zeros((1, samples), "float32"), audio_length=length)
    assert outputs["tokens"].shape[1] >= outputs["token_length"][0]
    assert samples or outputs["token_length"][0] == 0


def test_runtimes_that_allocate_before_they_know_the_audio_can(litert_file):
    """Java's does, for the sizes in the file: one sample."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    runtime.Interpreter(str(litert_file)).allocate_tensors()


def test_has_built_in_operators_only(litert_file):
    operators = litert_operators(litert_file)
    assert operators["WHILE"] == 1
    assert operators["RFFT2D"] == 2  # of transcribe and of encode
    assert not [name for name in operators if name.startswith("CUSTOM")]


def test_carries_its_vocabulary(litert_file, tiny_model):
    with zipfile.ZipFile(litert_file) as files:
        assert files.testzip() is None
        tokens = files.read("tokens.txt")
        metadata = json.loads(files.read("metadata.json"))
    assert tokens.decode("utf-8").split("\n") == [*tiny_model.tokenizer.pieces, ""]
    assert litert_file.with_name("tokens.txt").read_bytes() == tokens
    assert metadata["sample_rate"] == 16000
    assert metadata["frame_seconds"] == 0.04
    assert metadata["blank_id"] == 28
    assert metadata["vocabulary_size"] == 29
    assert metadata["vocabulary"] == "tokens.txt"
    assert metadata["keras_contextnet_version"] == kc.__version__


def test_example_prints_the_text_without_tensorflow(litert_file, tiny_model, utterances, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    # Modules of these names that fail: what an environment without them is like.
    for name in ("tensorflow", "keras", "sentencepiece", "soundfile", "soxr"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not for the example')")
    speech = tmp_path / "speech.wav"
    soundfile.write(speech, utterances[0], 16000, subtype="PCM_16")
    audio, _ = soundfile.read(speech, dtype="float32")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "litert_transcribe.py", litert_file, speech],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(EXAMPLES.parent)]),
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    outputs = tiny_model.predict_on_batch({"audio": audio[None]})
    tokens = outputs["tokens"][0, : outputs["token_length"][0]]
    assert done.stdout.rstrip("\n") == tiny_model.tokenizer.decode(tokens)


def test_example_says_in_one_line_what_is_wrong(litert_file, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "litert_transcribe.py", litert_file, tmp_path / "speech.wav"],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1
    assert "speech.wav, which does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_without_tokenizer_has_no_vocabulary_file(another_model, tmp_path):
    export_litert(another_model(tokenizer=None), tmp_path / "asr.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["asr.tflite"]
    with zipfile.ZipFile(tmp_path / "asr.tflite") as files:
        assert files.namelist() == ["metadata.json"]
        assert json.loads(files.read("metadata.json"))["vocabulary"] is None


@pytest.mark.parametrize("name", ["asr", "asr.tflite.zip", "asr.TFLITE"])
def test_rejects_another_ending(tiny_model, tmp_path, name):
    with pytest.raises(ValueError, match=r"`path` to end in \.tflite"):
        export_litert(tiny_model, tmp_path / name)


def test_rejects_a_folder(tiny_model, tmp_path):
    (tmp_path / "asr.tflite").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        export_litert(tiny_model, tmp_path / "asr.tflite")


def test_rejects_half_precision(another_model, tmp_path):
    joiner = kc.Joiner(vocabulary_size=29, units=32, dtype="mixed_bfloat16", name="joiner")
    with pytest.raises(ValueError, match="'joiner' has the dtype policy 'mixed_bfloat16'"):
        export_litert(another_model(joiner=joiner), tmp_path / "asr.tflite")


def test_rejects_a_piece_with_a_line_break(another_model, tmp_path):
    tokenizer = kc.text.CharacterTokenizer("\nabcdefghijklmnopqrstuvwxyz'")
    with pytest.raises(ValueError, match=r"piece 0 of `tokenizer` is '\\n'"):
        export_litert(another_model(tokenizer=tokenizer), tmp_path / "asr.tflite")


def test_leaves_the_vocabulary_of_another_model_alone(tiny_model, tmp_path):
    (tmp_path / "tokens.txt").write_text("another vocabulary\n")
    with pytest.raises(FileExistsError, match="another vocabulary"):
        export_litert(tiny_model, tmp_path / "asr.tflite")
    assert (tmp_path / "tokens.txt").read_text() == "another vocabulary\n"
    assert not (tmp_path / "asr.tflite").exists()


def test_half_precision_finds_the_same_tokens(tmp_path):
    """In a checkpoint of NeMo's that wins every decision by 0.5: rounding moves logits by less."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    files = Path(__file__).parents[1] / "interop" / "nemo_files"
    path = tmp_path / "asr.tflite"
    model = kc.ContextNet.from_nemo(files / "aggregate.nemo")
    model.export(path, format="litert", quantization="float16")
    with np.load(files / "aggregate.npz") as reference:
        outputs = runtime.Interpreter(str(path)).get_signature_runner("transcribe")(
            audio=reference["audio"], audio_length=reference["audio_len"].astype("int32")
        )
        for row in range(2):
            tokens = outputs["tokens"][row, : outputs["token_length"][row]]
            assert tokens.tolist() == reference[f"greedy_{row}"].tolist()
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("metadata.json"))["quantization"] == "float16"


def test_half_precision_is_half_the_size(another_model, tmp_path):
    """Less what is no weight."""
    blocks = [{"filters": 512, "num_convs": 2, "strides": 2}]
    model = another_model(
        encoder=kc.ContextNetEncoder(blocks=blocks), joiner=kc.Joiner(vocabulary_size=29, units=512)
    )
    export_litert(model, tmp_path / "whole.tflite")
    export_litert(model, tmp_path / "half.tflite", quantization="float16")
    whole, half = ((tmp_path / f"{name}.tflite").stat().st_size for name in ("whole", "half"))
    assert half < 0.55 * whole


@pytest.mark.parametrize("batch", ["all"], indirect=True)
def test_a_beam_finds_the_tokens_of_keras(another_model, expected, batch, tmp_path):
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    model = another_model(beam_width=3)
    path = tmp_path / "beam.tflite"
    export_litert(model, path)
    assert not any(name.startswith("CUSTOM") for name in litert_operators(path))
    outputs = runtime.Interpreter(str(path)).get_signature_runner("transcribe")(**batch)
    of_keras = model.predict_on_batch(batch)
    for name in ("token_length", "tokens", "token_frame"):
        np.testing.assert_array_equal(outputs[name], of_keras[name])
    assert not np.array_equal(outputs["tokens"], expected["tokens"])  # greedily


def test_an_unknown_quantization_is_an_error(tiny_model, tmp_path):
    with pytest.raises(ValueError, match=r"`quantization` to be one of.*Received: .*'int4'"):
        export_litert(tiny_model, tmp_path / "asr.tflite", quantization="int4")
    assert not list(tmp_path.iterdir())
