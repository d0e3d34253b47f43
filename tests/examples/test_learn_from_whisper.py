"""The example that learns from Whisper's encoder, with a teacher of four channels in its place."""

import importlib.util
import json
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_contextnet as kc

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "learn_from_whisper"
BLOCKS = [
    {"filters": 16, "num_convs": 1, "strides": 4, "residual": False},
    {"filters": 16, "num_convs": 1, "strides": 2, "residual": False},
    {"filters": 24, "num_convs": 1, "residual": False},
]


@pytest.fixture
def module(import_from):
    """Imports a file of the example."""
    return import_from(FOLDER)


def loudness(waveform):
    """A teacher of four channels: (frames of 80 ms, 4)."""
    frames = np.pad(waveform, (0, -len(waveform) % 1280)).reshape(-1, 4, 320)
    return np.log(np.abs(frames).mean(axis=-1) + 1e-3)


def small_model():
    keras.utils.set_random_seed(0)
    tokenizer = kc.text.CharacterTokenizer()
    outputs = tokenizer.vocabulary_size + 1
    return kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=BLOCKS),
        predictor=kc.Predictor(outputs, embedding_size=8, units=8),
        joiner=kc.Joiner(outputs, units=8),
        tokenizer=tokenizer,
        ctc_head=kc.CTCHead(outputs),
        beam_width=2,
    )


def make_student(module, weight=0.5):
    return module("student").Student(small_model(), None, channels=4, weight=weight, middle=1)


def batch(lengths, targets):
    """Noise of some lengths in samples, three tokens each, and a teacher's features."""
    generator = np.random.default_rng(0)
    audio = np.zeros((len(lengths), max(lengths)), "float32")
    for row, length in zip(audio, lengths, strict=True):
        row[:length] = generator.normal(size=length)
    x = {"audio": audio, "audio_length": np.array(lengths)}
    tokens = np.tile([1, 2, 3], (len(lengths), 1))
    y = {"tokens": tokens, "token_length": np.full(len(lengths), 3), "teacher": targets}
    return x, y


def test_targets_are_normal_at_their_own_tempo(module, utterances, tmp_path):
    targets = module("targets")
    targets.write_targets(utterances, loudness, tmp_path / "targets")
    read = targets.Targets(tmp_path / "targets")
    encoded = [loudness(kc.data.load_audio(u.audio)).astype("float16") for u in utterances]
    everything = np.concatenate(encoded).astype("float64")
    normal = (everything - everything.mean(axis=0)) / (everything.std(axis=0) + 1e-3)
    found = [read.of(u.id, len(own)) for u, own in zip(utterances, encoded, strict=True)]
    np.testing.assert_allclose(np.concatenate(found), np.clip(normal, -5, 5), atol=2e-3)


@pytest.mark.parametrize("frames", [1, 37, 90, 200])
def test_targets_are_stretched_to_another_tempo(module, utterances, tmp_path, frames):
    targets = module("targets")
    targets.write_targets(utterances[:1], loudness, tmp_path / "targets")
    read = targets.Targets(tmp_path / "targets")
    count = len(loudness(kc.data.load_audio(utterances[0].audio)))
    own = read.of(utterances[0].id, count)
    middles = (np.arange(frames) + 0.5) / frames
    expected = [np.interp(middles, (np.arange(count) + 0.5) / count, one) for one in own.T]
    found = read.of(utterances[0].id, frames)
    np.testing.assert_allclose(found, np.transpose(expected), atol=1e-4)


def test_an_utterance_without_targets_is_named(module, utterances, tmp_path):
    targets = module("targets")
    targets.write_targets(utterances[:1], loudness, tmp_path / "targets")
    with pytest.raises(ValueError, match=f"'{utterances[1].id}'.*Remove that folder"):
        targets.Targets(tmp_path / "targets").of(utterances[1].id, 10)


def test_nothing_is_left_of_targets_that_could_not_be_made(module, utterances, tmp_path):
    with pytest.raises(RuntimeError, match="teacher"):
        module("targets").write_targets(
            utterances, lambda waveform: (_ for _ in ()).throw(RuntimeError("teacher")), tmp_path
        )
    assert not any(tmp_path.iterdir())


def test_loss_is_the_transducers_and_the_teachers(module):
    student = make_student(module)
    student.compile("sgd")
    x, y = batch([16000, 9000], np.random.default_rng(1).normal(size=(2, 13, 4)).astype("float32"))
    y_pred = student(x, training=True)
    loss = float(student.compute_loss(x, y, y_pred))
    transducer = student.transducer()
    transducer.compile("sgd")
    expected = float(transducer.compute_loss(x, y, y_pred))
    for head, heard in zip(student.heads, ("middle", "encoder_output"), strict=True):
        kernel, bias = (np.asarray(weight) for weight in head.weights)
        errors = (np.asarray(y_pred[heard]) @ kernel + bias - y["teacher"]) ** 2
        # 16000 and 9000 samples are 100 and 57 frames, an eighth of which are 13 and 8.
        per_utterance = [errors[0, :13].mean(axis=-1).sum(), errors[1, :8].mean(axis=-1).sum()]
        expected += 0.5 * np.mean(per_utterance)
    assert loss == pytest.approx(expected, rel=1e-5)


def test_what_the_student_is_trained_as_is_what_its_encoder_gives(module):
    student = make_student(module)
    x, _ = batch([16000, 9000], None)
    features, mask = student.extract_features(x)
    middle, last = student.blocks(features, mask=mask)
    expected = student.encoder(features, mask=mask)
    np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-6)
    assert middle.shape == (2, 13, 16)


def test_heads_learn_alone(module):
    student = make_student(module)
    x, y = batch([16000, 9000], np.ones((2, 13, 4), "float32"))
    student.learn_heads_alone(True)
    student.compile(keras.optimizers.SGD(0.01))
    transducer, heads = (
        [np.array(w) for w in part.weights] for part in (student.transducer(), student.heads[0])
    )
    student.fit(x, y, batch_size=2, verbose=0)
    for before, after in zip(transducer, student.transducer().weights, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(heads[0], student.heads[0].weights[0])
    student.learn_heads_alone(False)
    assert len(student.trainable_variables) > len(student.transducer().trainable_variables)


def fake_whisper(monkeypatch):
    """Stands for faster-whisper: 10 ms frames of features, 20 ms frames of the encoder's."""

    class Model:
        def __init__(self, folder, device, compute_type):
            assert (Path(folder) / "model.bin").is_file()

        def encode(self, features):
            return features[:, :, ::2].transpose(0, 2, 1)

    class FeatureExtractor:
        def __call__(self, waveform):
            count = len(waveform) // 160 + 1
            return np.tile(np.arange(count, dtype="float32"), (80, 1))

    modules = {
        "ctranslate2": types.SimpleNamespace(
            StorageView=types.SimpleNamespace(from_array=np.array)
        ),
        "ctranslate2.models": types.SimpleNamespace(Whisper=Model),
        "faster_whisper": types.SimpleNamespace(),
        "faster_whisper.feature_extractor": types.SimpleNamespace(
            FeatureExtractor=FeatureExtractor
        ),
    }
    for name, fake in modules.items():
        monkeypatch.setitem(sys.modules, name, fake)


@pytest.mark.parametrize("samples", [1, 1280, 1281, 160000])
def test_whisper_gives_a_frame_for_80_ms(module, monkeypatch, tmp_path, samples):
    fake_whisper(monkeypatch)
    (tmp_path / "model.bin").touch()
    encoded = module("whisper").Whisper(tmp_path).encode(np.zeros(samples, "float32"))
    assert encoded.shape == (-(-samples // 1280), 80)
    # Frame i is the mean of those of 20 ms from 4 i on, which here tell their time.
    np.testing.assert_allclose(encoded[:, 0], 8 * np.arange(len(encoded)) + 3)


def test_whisper_says_what_is_missing(module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ctranslate2.models", None)
    whisper = module("whisper")
    with pytest.raises(ImportError, match="pip install faster-whisper"):
        whisper.Whisper(tmp_path)
    fake_whisper(monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"model\.bin"):
        whisper.Whisper(tmp_path)
    (tmp_path / "model.bin").touch()
    for samples in (0, 30 * 16000):
        with pytest.raises(ValueError, match=r"up to 29\.5 s"):
            whisper.Whisper(tmp_path).encode(np.zeros(samples, "float32"))


def test_the_example_makes_a_preset(module, monkeypatch, utterances, tmp_path, capsys):
    small_model().save_to_preset(tmp_path / "small")
    manifest = tmp_path / "manifest.jsonl"
    splits = ["train"] * 8 + ["dev"] * 2
    with open(manifest, "w", encoding="utf-8") as file:
        for utterance, split in zip(utterances, splits, strict=True):
            line = {"id": utterance.id, "path": str(utterance.audio), "text": utterance.text}
            file.write(json.dumps({**line, "split": split, "duration": utterance.duration}) + "\n")
    spec = importlib.util.spec_from_file_location("learn_from_whisper", FOLDER / "__main__.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    teacher = types.SimpleNamespace(encode=loudness)
    monkeypatch.setattr(example, "Whisper", lambda folder: teacher)
    student = module("student").Student
    monkeypatch.setattr(example, "Student", lambda *arguments: student(*arguments, middle=1))
    options = ["--whisper", "whisper", "--preset", tmp_path / "small", "--folder", tmp_path / "run"]
    options += ["--epochs", 2, "--steps-alone", 2]
    monkeypatch.setattr(sys, "argv", ["learn_from_whisper", str(manifest), *map(str, options)])
    example.main()
    assert "val_wer" in capsys.readouterr().out
    model = kc.ContextNet.from_preset(tmp_path / "run" / "preset", load_weights=True)
    assert isinstance(model.transcribe(utterances[0].audio), str)
    before = kc.ContextNet.from_preset(tmp_path / "small", load_weights=True)
    assert model.beam_width == before.beam_width == 2
    assert not np.allclose(before.encoder.weights[0], model.encoder.weights[0])
