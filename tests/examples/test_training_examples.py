"""The training examples on the ten recordings beside them, with models of a few channels."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_contextnet as kc

EXAMPLES = Path(__file__).parents[2] / "examples"
BLOCKS = [{"filters": 16, "num_convs": 1, "strides": 4, "residual": False}]


@pytest.fixture
def run(monkeypatch):
    """Runs an example's `main` with command-line arguments, some of its functions replaced."""

    def run(name, *arguments, **replaced):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for function, replacement in replaced.items():
            monkeypatch.setattr(module, function, replacement)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        module.main()

    return run


@pytest.fixture
def utterances():
    return kc.data.read_manifest(EXAMPLES / "audio" / "manifest.jsonl")


def as_librispeech(utterances, folder):
    """Writes LibriSpeech's speaker/chapter/*.trans.txt and recordings."""
    import soundfile

    chapter = folder / "1" / "2"
    chapter.mkdir(parents=True)
    lines = []
    for number, utterance in enumerate(utterances):
        name = f"1-2-{number:04d}"
        soundfile.write(chapter / f"{name}.flac", kc.data.load_audio(utterance.audio), 16000)
        lines.append(f"{name} {utterance.text.upper()}")
    (chapter / "1-2.trans.txt").write_text("\n".join(lines))


def test_librispeech(run, utterances, tmp_path):
    as_librispeech(utterances[:4], tmp_path / "train-clean-100")
    as_librispeech(utterances[4:6], tmp_path / "dev-clean")

    def make_small_model(preset):
        assert preset == "small"
        return kc.ContextNet(
            encoder=kc.ContextNetEncoder(blocks=BLOCKS),
            predictor=kc.Predictor(1024, embedding_size=8, units=8),
            joiner=kc.Joiner(1024, units=8),
            tokenizer=kc.text.english_tokenizer(),
            ctc_head=kc.CTCHead(1024),
            ctc_weight=0.2,
        )

    folder = tmp_path / "run"
    run("librispeech", tmp_path, "--folder", folder, "--epochs", 1, make_model=make_small_model)
    assert isinstance(
        kc.ContextNet.from_preset(folder / "preset").predict(
            np.zeros((1, 4000), "float32"), verbose=0
        ),
        dict,
    )
    assert len((folder / "history.csv").read_text().splitlines()) == 2


def test_librispeech_without_the_corpus(run, tmp_path):
    with pytest.raises(SystemExit, match="train-clean-100"):
        run("librispeech", tmp_path)


def test_small_en_goes_through_its_stages(run, utterances, tmp_path, capsys):
    splits = ["train"] * 5 + ["synthetic"] * 3 + ["dev"] * 2
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(
        "\n".join(
            json.dumps({"id": u.id, "path": str(u.audio), "text": u.text, "split": split})
            for u, split in zip(utterances, splits, strict=True)
        )
    )
    folder = tmp_path / "run"
    text = tmp_path / "text.txt"
    text.write_text("\n".join([f"{u.text.capitalize()}!" for u in utterances] + [""]))
    arguments = (
        manifest,
        "--folder",
        folder,
        "--text",
        text,
        "--epochs",
        1,
        1,
        1,
        1,
        1,
        "--vocabulary-size",
        40,
    )
    # Warm-ups are shorter than three steps.
    run("small_en", *arguments, "--batch-seconds", 10, "--warmup", 1, encoder_blocks=lambda: BLOCKS)
    stages = {"short", "ctc", "frozen", "transducer", "real"}
    assert {path.name for path in folder.iterdir()} == {*stages, "small_en"}
    model = kc.ContextNet.from_preset(folder / "small_en", load_weights=True)
    assert (model.tokenizer.vocabulary_size, model.beam_width) == (40, 4)
    kinds = [kc.layers.VocalTractPerturbation, kc.layers.SpecAugment]
    assert [type(layer) for layer in model.augmenter.layers] == kinds
    last = kc.ContextNet.from_preset(folder / "real" / "preset", load_weights=True)
    assert isinstance(last.augmenter, kc.layers.VocalTractPerturbation)
    assert isinstance(model.transcribe(utterances[0].audio), str)
    encoders = {
        name: kind.from_preset(folder / name / "preset").encoder.get_weights()[1]
        for kind, name in (
            (kc.ContextNetCTC, "ctc"),
            (kc.ContextNet, "frozen"),
            (kc.ContextNet, "transducer"),
        )
    }
    np.testing.assert_array_equal(encoders["frozen"], encoders["ctc"])
    assert 0 < np.abs(encoders["transducer"] - encoders["frozen"]).max() < 0.1


def test_synthesized_speech(run, tmp_path):
    sentences = tmp_path / "sentences.txt"
    sentences.write_text(
        "\u201cDon't,\u201d said Mr. 'Ames'.\nIn 1850.\n...\nToo short\nToo long\n"
    )
    spoken = []

    def tone(name):
        def speak(text, tempo, random):
            spoken.append((name, text, tempo))
            seconds = {"Too short": 0.4, "Too long": 30}.get(text, 3) / tempo
            time = np.arange(int(8000 * seconds)) / 8000
            return np.sin(2 * np.pi * 400 * time).astype("float32"), 8000

        return speak

    folder = tmp_path / "synthetic"
    run("synthesize_speech", sentences, folder, "--voices", "slt", make_voice=tone)
    (utterance,) = kc.data.read_manifest(folder / "manifest.jsonl")
    assert (utterance.text, utterance.split) == ("don't said mr ames", "synthetic")
    assert len(spoken) == 3
    assert {name for name, *_ in spoken} == {"slt"}

    waveform = kc.data.load_audio(utterance.audio)
    assert len(waveform) == round(16000 * utterance.duration)
    assert 3 / 1.25 < utterance.duration < 3 / 0.8, "the size must not change the duration"
    spectrum = np.abs(np.fft.rfft(waveform))
    pitch = spectrum.argmax() * 16000 / len(waveform)
    # What the duration lost or gained by size is in the pitch.
    _, _, tempo = spoken[0]
    size = 3 / tempo / utterance.duration
    assert pitch == pytest.approx(400 * size, rel=0.01)
    assert 320 <= pitch <= 448
