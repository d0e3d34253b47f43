"""The command line: what each command prints and writes, its exit codes and its errors."""

import csv
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_contextnet as kc
from keras_contextnet_cli import app

ROOT = Path(__file__).parents[1]
AUDIO = ROOT / "examples" / "audio"
MANIFEST = AUDIO / "manifest.jsonl"
COMMANDS = ("presets", "train", "transcribe", "evaluate", "convert", "export")


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def plain(text):
    """Help without colours, boxes and line breaks."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m|[│╭╮╰╯─]", " ", text).split())


@pytest.fixture(scope="session")
def utterances():
    return kc.data.read_manifest(MANIFEST)


@pytest.fixture(scope="session")
def preset(tmp_path_factory):
    """A tiny model of random weights, large enough in the joiner that its texts differ."""
    keras.utils.set_random_seed(0)
    tokenizer = kc.text.CharacterTokenizer()
    model = kc.ContextNet(
        encoder=kc.ContextNetEncoder(
            blocks=[{"filters": 8, "num_convs": 1, "strides": 8, "residual": False}]
        ),
        predictor=kc.Predictor(tokenizer.vocabulary_size + 1, embedding_size=8, units=8),
        joiner=kc.Joiner(tokenizer.vocabulary_size + 1, units=8),
        tokenizer=tokenizer,
        max_symbols_per_frame=1,
    )
    kernel = model.joiner.output_projection.kernel
    kernel.assign(kernel * 20)
    folder = tmp_path_factory.mktemp("model") / "preset"
    model.save_to_preset(folder)
    return folder


@pytest.fixture(scope="session")
def texts(preset, utterances):
    """What the model itself makes of the recordings."""
    texts = kc.ContextNet.from_preset(preset).transcribe([u.audio for u in utterances])
    assert len(set(texts)) > 1, "a model that says the same of everything tests nothing"
    return texts


@pytest.mark.parametrize("command", COMMANDS)
def test_help_gives_an_example_of_each_command(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: keras-contextnet {command}" in plain(result.stdout)


def test_help_lists_the_commands_and_the_exit_codes():
    text = plain(run("--help").stdout)
    assert all(command in text for command in COMMANDS)
    assert "Exit codes: 0" in text


def test_help_of_train_gives_the_papers_values():
    text = plain(run("train", "--help").stdout)
    for option, default in (
        ("--learning-rate", "0.0025"),
        ("--warmup-steps", "15000"),
        ("--l2", "1e-06"),
    ):
        assert re.search(rf"{option} .*?\[default: {default}\]", text)


def test_help_does_not_wait_for_keras():
    code = (
        "import sys; from keras_contextnet_cli import app; app(['train', '--help'],"
        " standalone_mode=False); print(sorted({'keras', 'tensorflow', 'jax'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_version():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"keras-contextnet {kc.__version__}\n")


def test_presets_are_those_of_the_model():
    result = run("presets")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in kc.ContextNet.presets)


def test_transcribe_prints_the_text_of_one_file(preset, utterances, texts):
    result = run("transcribe", preset, utterances[0].audio)
    assert (result.exit_code, result.stdout) == (0, f"{texts[0]}\n")


def test_transcribe_prints_path_and_text_of_several(preset, utterances, texts):
    files = [utterance.audio for utterance in utterances[:3]]
    result = run("transcribe", preset, *files, "--batch-size", 2)
    assert result.exit_code == 0
    assert result.stdout == "".join(f"{f}\t{t}\n" for f, t in zip(files, texts[:3], strict=True))


def test_transcribe_searches_with_a_beam(preset, utterances, texts):
    model = kc.ContextNet.from_preset(preset, beam_width=3)
    expected = model.transcribe(utterances[0].audio)
    assert expected != texts[0]
    result = run("transcribe", preset, utterances[0].audio, "--beam-width", 3)
    assert (result.exit_code, result.stdout) == (0, f"{expected}\n")


def test_transcribe_names_the_bad_file_and_prints_the_others(preset, utterances, texts, tmp_path):
    bad = tmp_path / "letter.wav"
    bad.write_text("Dear Sir or Madam")
    result = run("transcribe", preset, bad, utterances[0].audio)
    assert result.exit_code == 1
    assert result.stdout == f"{utterances[0].audio}\t{texts[0]}\n"
    assert str(bad) in result.stderr
    assert "Traceback" not in result.stderr


def test_transcribe_as_json(preset, utterances, texts, tmp_path):
    missing = tmp_path / "missing.flac"
    result = run("transcribe", preset, utterances[0].audio, missing, "--json")
    good, bad = map(json.loads, result.stdout.splitlines())
    assert good == {"path": str(utterances[0].audio), "text": texts[0]}
    assert bad["path"] == str(missing)
    assert "does not exist" in bad["error"]
    assert result.exit_code == 1


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_evaluate_prints_the_counts_and_writes_the_table(
    suffix, delimiter, preset, utterances, texts, tmp_path
):
    table = tmp_path / "new" / f"dev.{suffix}"
    result = run("evaluate", preset, MANIFEST, "--table", table)
    assert result.exit_code == 0

    words = kc.metrics.word_errors([u.text for u in utterances], texts)
    row = next(line for line in result.stdout.splitlines() if "WER" in line)
    assert [int(number) for number in re.findall(r"(?<![\d.])\d+(?![\d.%])", row)] == [
        words.errors,
        words.substitutions,
        words.deletions,
        words.insertions,
        words.length,
    ]
    assert f"{words.rate:.2%}" in row

    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=delimiter))
    assert {r["id"]: r["hypothesis"] for r in rows} == {
        u.id: " ".join(t.split()) for u, t in zip(utterances, texts, strict=True)
    }
    assert sum(int(r["deletions"]) for r in rows) == words.deletions
    rates = [float(r["wer"]) for r in rows]
    assert rates == sorted(rates, reverse=True)
    assert [path.name for path in table.parent.iterdir()] == [table.name]


def test_evaluate_counts_what_it_can_read(preset, tmp_path):
    (tmp_path / "bad.wav").write_text("no audio")
    lines = [
        {"path": "bad.wav", "text": "one two"},
        {"path": str(AUDIO / "4640-19188-0038.opus"), "text": "the fifth man was saved"},
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run("evaluate", preset, manifest)
    assert result.exit_code == 1
    assert "5 words" in result.stdout
    assert "bad.wav" in result.stderr
    assert "1 of 2" in result.stderr


def test_train_leaves_a_model_that_the_other_commands_take(preset, tmp_path, utterances):
    output = tmp_path / "run"
    data = (MANIFEST, "--dev", MANIFEST, "--max-duration", 4, "--batch-seconds", 10)
    options = ("--epochs", 2, "--warmup-steps", 5, "--l2", 0.01, "--variational-noise", 0.075)
    more = ("--speed", "--reverberation", "--noise", AUDIO, "--batch-tokens", 500)
    recipe = ("--clip-norm", 5, "--average", 0.9, "--decay", "cosine", "--ctc-weight", 0.3)
    records = ("--fastemit", 0.001, "--checkpoint-minutes", 0, "--tensorboard")
    result = run(
        *("train", *data, "-o", output, "--preset", preset, *options, *more, *recipe, *records)
    )
    assert result.exit_code == 0
    rows = list(csv.DictReader((output / "history.csv").open()))
    assert len(rows) == 2
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert "val_wer" in rows[0]
    assert float(rows[1]["learning_rate"]) < float(rows[0]["learning_rate"])
    assert float(rows[1]["audio_per_second"]) > 0
    assert (output / "curve.png").stat().st_size > 0
    assert list((output / "tensorboard").rglob("events.out.*"))

    model = kc.ContextNet.from_preset(output / "preset")
    assert model.l2 == pytest.approx(0.01)
    assert model.predictor.variational_noise == pytest.approx(0.075)
    assert model.ctc_head is not None
    assert model.ctc_weight == pytest.approx(0.3)
    result = run("transcribe", output / "preset", utterances[0].audio)
    assert result.stdout == model.transcribe(utterances[0].audio) + "\n"


def test_train_makes_the_model_that_was_asked_for(preset):
    from keras_contextnet_cli.train_model import make_model, make_optimizer

    model = make_model("small", 0.1, "characters", 1e-6, "mixed_bfloat16", 0.5)
    assert model.encoder.output_channels == 64
    for layer in (model.encoder, model.predictor, model.joiner, model.ctc_head):
        assert layer.dtype_policy.name == "mixed_bfloat16"
    assert model.ctc_head.vocabulary_size == model.joiner.vocabulary_size == 29

    before = kc.ContextNet.from_preset(preset)
    model = make_model(str(preset), None, None, 0.0, None, 0.2)
    assert model.ctc_weight == 0.2
    assert model.tokenizer.pieces == before.tokenizer.pieces
    for part in ("encoder", "predictor", "joiner"):
        parts = (getattr(m, part).get_weights() for m in (model, before))
        for weight, other in zip(*parts, strict=True):
            np.testing.assert_array_equal(weight, other)

    optimizer = make_optimizer(0.1, 5.0, 0.999)
    assert (optimizer.global_clipnorm, optimizer.use_ema) == (5.0, True)
    assert optimizer.ema_momentum == 0.999
    assert not make_optimizer(0.1, None, None).use_ema


@pytest.mark.tensorflow_only
def test_export_chooses_the_format_by_name(preset, tmp_path):
    assert run("export", preset, tmp_path / "asr.tflite", "--no-verify").exit_code == 0
    assert (tmp_path / "asr.tflite").read_bytes()[4:8] == b"TFL3"
    result = run("export", preset, tmp_path / "saved")
    assert result.exit_code == 0
    assert "tf_saved_model" in result.stdout
    assert (tmp_path / "saved" / "saved_model.pb").is_file()


@pytest.mark.tensorflow_only
def test_export_runs_the_file_on_speech_and_says_what_it_costs(preset, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    result = run("export", preset, tmp_path / "asr.tflite", "--license", "CC0-1.0")
    assert result.exit_code == 0
    rows = [line.split("  ")[0].strip() for line in result.stdout.splitlines()]
    for row in ("size", "operators", "real-time factor, 1 thread", "real-time factor, 2 threads"):
        assert row in rows
    assert "the model's on 10 of 10" in result.stdout
    with zipfile.ZipFile(tmp_path / "asr.tflite") as archive:
        assert json.loads(archive.read("metadata.json"))["license"] == "CC0-1.0"


@pytest.mark.tensorflow_only
def test_export_quantizes_and_compares_with_the_transcripts(preset, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    path = tmp_path / "quarter.tflite"
    options = ("--quantization", "dynamic_int8", "--keep-float", "block_0")
    result = run("export", preset, path, *options, "--verify", MANIFEST, "--word-error-limit", 9)
    assert result.exit_code == 0
    assert "WER of model, file" in result.stdout
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("metadata.json"))["quantization"] == "dynamic_int8"


@pytest.mark.tensorflow_only
def test_export_refuses_a_file_that_transcribes_otherwise(preset, tmp_path, monkeypatch):
    """As if the file of a model with other weights had been written."""
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    from keras_contextnet.export import litert

    def with_other_weights(model):
        kernel = model.joiner.output_projection.kernel
        kernel.assign(-kernel)
        try:
            return convert(model)
        finally:
            kernel.assign(-kernel)

    convert = litert._convert
    monkeypatch.setattr(litert, "_convert", with_other_weights)
    path = tmp_path / "asr.tflite"
    result = run("export", preset, path)
    assert result.exit_code == 1
    assert "Expected the exported file to give the model's tokens" in result.stderr
    assert not list(tmp_path.iterdir())
    result = run("export", preset, path, "--on-difference", "warn")
    assert result.exit_code == 0
    assert "Warning: Expected the exported file" in result.stderr
    assert path.is_file()


@pytest.mark.tensorflow_only
def test_an_exported_file_transcribes_and_is_evaluated_like_its_model(
    preset, utterances, texts, tmp_path
):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    path = tmp_path / "asr.tflite"
    assert run("export", preset, path, "--no-verify").exit_code == 0
    recordings = [utterance.audio for utterance in utterances[:2]]
    result = run("transcribe", path, *recordings, tmp_path / "missing.wav")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines == [f"{audio}\t{text}" for audio, text in zip(recordings, texts, strict=False)]
    assert "missing.wav" in result.stderr
    assert run("evaluate", path, MANIFEST).stdout == run("evaluate", preset, MANIFEST).stdout
    result = run("evaluate", path, MANIFEST, "--beam-width", 2)
    assert result.exit_code == 1
    assert "Expected no --beam-width for a .tflite file" in result.stderr


@pytest.mark.parametrize("option", ["--quantization=float16", "--keep-float=encoder"])
def test_options_of_litert_are_refused_for_a_saved_model(preset, tmp_path, option):
    result = run("export", preset, tmp_path / "saved", option)
    assert result.exit_code == 2
    assert option.split("=")[0] in plain(result.stderr)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("transcribe", "no_such_preset", "a.wav"), "no_such_preset"),
        (("evaluate", "PRESET", MANIFEST, "--split", "dev"), "split"),
        (("export", "PRESET", "asr.tf", "--format", "litert"), ".tflite"),
        (("train", MANIFEST, "--preset", "PRESET", "--tokenizer", "english"), "tokenizer"),
        (("train", MANIFEST, "--preset", "PRESET", "--sampled-words", "0.2"), "CharacterTokenizer"),
        (("train", "BAD", "--preset", "PRESET"), "no_text.jsonl, line 1"),
        (("train", "CUT", "--dev", MANIFEST, "--preset", "PRESET", "-o", "OUTPUT"), "cut.wav"),
    ],
)
def test_work_that_fails_exits_with_one_line(arguments, names, preset, tmp_path):
    (tmp_path / "cut.wav").write_text("no audio")
    (tmp_path / "no_text.jsonl").write_text('{"path": "cut.wav"}\n')
    (tmp_path / "cut.jsonl").write_text('{"path": "cut.wav", "text": "a", "duration": 1.0}\n')
    paths = {
        "PRESET": preset,
        "BAD": tmp_path / "no_text.jsonl",
        "CUT": tmp_path / "cut.jsonl",
        "OUTPUT": tmp_path / "run",
    }
    result = run(*(paths.get(argument, argument) for argument in arguments))
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert names in lines[0]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("no_such_command",),
        ("transcribe", "small"),
        ("evaluate", "small", "no_such_manifest.jsonl"),
        ("evaluate", "small", MANIFEST, "--table", "dev.xlsx"),
        ("export", "small", "asr.tflite", "--format", "onnx"),
        ("train", MANIFEST, "--epochs", "0"),
        ("train", MANIFEST, "--tokenizer", "no_such.spm"),
        ("train", MANIFEST, "--preset", "runs/old", "--alpha", "0.5"),
        ("train", MANIFEST, "--decay", "linear"),
        ("train", MANIFEST, "--noise", "no_such_folder"),
    ],
)
def test_commands_that_are_not_understood_exit_with_two(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


NEMO_FILES = ROOT / "tests" / "interop" / "nemo_files"


def test_convert_prints_what_it_found_and_leaves_a_preset(tmp_path):
    output = tmp_path / "converted"
    result = run("convert", NEMO_FILES / "options_8k.nemo", output)
    assert result.exit_code == 0
    for found in ("written by NeMo 3.0.0", "NeMo since 2.5", "3 LSTM", "CharacterTokenizer"):
        assert found in result.stdout
    assert result.stdout.splitlines()[-1].startswith(f"{output}: saved; loaded back, it answers")
    assert kc.ContextNet.from_preset(output, load_weights=True).frontend.sample_rate == 8000


def test_convert_takes_the_features_from_the_command_line(tmp_path):
    result = run(
        "convert", NEMO_FILES / "options_8k.nemo", tmp_path / "old", "--features", "legacy"
    )
    assert result.exit_code == 0
    assert "NeMo until 2.4" in result.stdout
    assert kc.ContextNet.from_preset(tmp_path / "old").frontend.pad_mode == "reflect"


def test_convert_of_another_file_is_one_line_and_leaves_nothing(tmp_path):
    result = run("convert", MANIFEST, tmp_path / "converted")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "to be a .nemo file" in result.stderr
    assert not (tmp_path / "converted").exists()
