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
        path = EXAMPLES / f"{name}.py"
        if not path.exists():
            path = EXAMPLES / name / "__main__.py"
            monkeypatch.syspath_prepend(path.parent)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        for function, replacement in replaced.items():
            monkeypatch.setattr(module, function, replacement)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        module.main()

    return run


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
    assert (utterance.text, utterance.split) == ("don't said mister ames", "synthetic")
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


LETTERS = {letter: 400 + 250 * index for index, letter in enumerate("abcdefg")}  # Hz
LETTER_FRAMES, SILENT_FRAMES = 12, 20


class SpellingAligner:
    """In place of the real one: a letter is a phone, and a phone is a tone of 0.12 s."""

    def pronounce(self, word):
        return list(word)

    def align(self, waveform, text):
        from phone_aligner import Phone  # on the path once the example runs

        phones, start = [Phone("SIL", 0, SILENT_FRAMES)], SILENT_FRAMES
        for word in text.split():
            for index, letter in enumerate(word):
                phones.append(Phone(letter, start, LETTER_FRAMES, first=index == 0))
                start += LETTER_FRAMES
        return [*phones, Phone("SIL", start, SILENT_FRAMES)]


def spell(text):
    """Says a text as `SpellingAligner` hears it."""
    time = np.arange(LETTER_FRAMES * 160) / 16000
    tones = [np.sin(2 * np.pi * LETTERS[letter] * time) for letter in text.replace(" ", "")]
    noise = 1e-3 * np.random.default_rng(0).standard_normal(SILENT_FRAMES * 160)
    return 0.3 * np.concatenate([noise, *tones, noise]).astype("float32")


def heard_letters(waveform):
    """Returns the tones of a waveform, each once for as long as it lasts."""
    letters = ""
    for start in range(0, len(waveform) - 480, 160):
        window = waveform[start : start + 480] * np.hanning(480)
        spectrum = np.abs(np.fft.rfft(window, 16000))  # a bin a Hz
        frequency = int(spectrum.argmax())
        near = [letter for letter, pitch in LETTERS.items() if abs(pitch - frequency) < 40]
        if near and np.abs(window).max() > 0.01 and not letters.endswith(near[0]):
            letters += near[0]
    return letters


def test_recombined_speech(run, tmp_path, capsys):
    import soundfile

    said = {"talks": ["abc ", "cde", "efg", "gab", "adg ced", "fba"], "mumbles": ["ab"]}
    lines = []
    for speaker, texts in said.items():
        for number, text in enumerate(texts):
            name = f"{speaker}-{number}"
            soundfile.write(tmp_path / f"{name}.wav", spell(text), 16000)
            line = {"id": name, "path": f"{name}.wav", "text": text.strip(), "speaker": speaker}
            lines.append(json.dumps(line))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    (tmp_path / "sentences.txt").write_text("Abcde fgab cde gabc.\nIn 1850\nToo short\n")
    folder = tmp_path / "recombined"
    run(
        "recombine_speech",
        *(tmp_path / "manifest.jsonl", tmp_path / "sentences.txt", folder, "--hours", 0.001),
        PhoneAligner=SpellingAligner,
    )
    assert "mumbles: too little was said" in capsys.readouterr().out
    utterances = kc.data.read_manifest(folder / "manifest.jsonl")
    assert {(utterance.speaker, utterance.split) for utterance in utterances} == {
        ("talks", "synthetic")
    }
    assert sum(utterance.duration for utterance in utterances) >= 3.6
    for utterance in utterances:
        waveform = kc.data.load_audio(utterance.audio)
        assert len(waveform) == round(16000 * utterance.duration)
        assert np.isfinite(waveform).all()
        assert heard_letters(waveform) == utterance.text.replace(" ", "")
