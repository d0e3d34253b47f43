"""The example that speaks with Kokoro, with a speaker of one tone in Kokoro's place."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import keras_contextnet as kc

FOLDER = Path(__file__).parents[2] / "examples" / "speak_with_kokoro"


@pytest.fixture
def module(import_from):
    """Imports a file of the example."""
    return import_from(FOLDER)


def tone(pitch, seconds, rate=16000):
    """Twenty harmonics, falling."""
    time = np.arange(int(rate * seconds)) / rate
    parts = [np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 21)]
    return (0.1 * np.sum(parts, axis=0)).astype("float32")


def power_at(waveform, frequencies, rate=16000):
    """Power within 10 Hz of some frequencies, leaving out the ends."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4]
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2
    hertz = np.fft.rfftfreq(len(middle), 1 / rate)
    return sum(power[np.abs(hertz - frequency) < 10].sum() for frequency in frequencies)


def is_of_pitch(waveform, pitch):
    """Whether most power is at multiples of a pitch, and little half way between them."""
    multiples = pitch * np.arange(1, 9)
    return power_at(waveform, multiples) > 5 * power_at(waveform, multiples + pitch / 2)


def test_a_spectrum_that_is_one_gives_its_waveform(module):
    vocoder = module("vocoder")
    waveform = np.random.default_rng(0).normal(size=8000).astype("float32")
    count = (8000 - vocoder.FFT_LENGTH) // vocoder.HOP + 1
    again = vocoder.waveform_of(vocoder.frames_of(waveform, count))
    inside = slice(vocoder.FFT_LENGTH, 8000 - 2 * vocoder.FFT_LENGTH)
    np.testing.assert_allclose(again[inside], waveform[inside], atol=1e-4)


def test_magnitudes_alone_give_a_waveform_that_has_them(module):
    vocoder = module("vocoder")
    wanted = np.abs(vocoder.centred_frames_of(tone(150, 1)))
    pitch = np.full(len(wanted), 150.0)
    waveform = vocoder.vocode(wanted, pitch, np.random.default_rng(0))
    assert len(waveform) == 16000
    found = np.abs(vocoder.centred_frames_of(waveform))
    inside = slice(5, -5)
    error = np.linalg.norm(found[inside] - wanted[inside]) / np.linalg.norm(wanted[inside])
    assert error < 0.1
    assert is_of_pitch(waveform, 150)
    assert not is_of_pitch(waveform, 130)


def test_decoder_frames_are_interpolated_at_the_middles_of_ours(module):
    resample = module("spectrum_model").resample
    seconds = (np.arange(80) + 0.5) / 80
    ours = resample(np.stack([seconds, 2 * seconds], axis=1), 100)
    inside = slice(1, -1)
    expected = np.arange(100) / 100
    np.testing.assert_allclose(ours[inside, 0], expected[inside], atol=1e-6)
    np.testing.assert_allclose(ours[:, 1], 2 * ours[:, 0], rtol=1e-6)


def test_harmonics_peak_at_multiples_of_the_pitch(module):
    comb = module("spectrum_model").harmonics(np.array([250.0, 0.0]))
    peaks = np.flatnonzero(comb[0] == 1)
    np.testing.assert_array_equal(peaks * 31.25, np.arange(33) * 250.0)
    assert not comb[1].any()


def test_a_voice_s_distance_moves_its_timbre_from_the_mean_of_all(module, monkeypatch, tmp_path):
    kokoro = module("kokoro")
    generator = np.random.default_rng(0)
    voices = generator.normal(size=(3, 510, 256)).astype("float32")
    for name, values in zip(("af_low", "bm_high", "jf_mid"), voices, strict=True):
        values.tofile(tmp_path / f"{name}.bin")
    tokenizer = types.ModuleType("kokoro_onnx.tokenizer")
    tokenizer.Tokenizer = object
    monkeypatch.setitem(sys.modules, "kokoro_onnx", types.ModuleType("kokoro_onnx"))
    monkeypatch.setitem(sys.modules, "kokoro_onnx.tokenizer", tokenizer)
    speaker = kokoro.Kokoro(tmp_path / "kokoro.onnx", tmp_path, tmp_path)

    shares = {"af_low": 0.75, "jf_mid": 0.25}
    blend = 0.75 * voices[0, 7] + 0.25 * voices[2, 7]
    mean = voices[:, 7].mean(axis=0)
    itself = kokoro.Voice(shares, shares)
    np.testing.assert_allclose(speaker.style(itself, 7), blend, atol=1e-6)
    twice = speaker.style(kokoro.Voice(shares, {"bm_high": 1.0}, 2.0), 7)
    np.testing.assert_allclose(twice[:128], 2 * blend[:128] - mean[:128], atol=1e-5)
    np.testing.assert_allclose(twice[128:], voices[1, 7, 128:], atol=1e-6)

    for _ in range(20):
        voice = speaker.speaker(generator)
        assert sum(voice.timbre.values()) == pytest.approx(1)
        assert sum(voice.prosody.values()) == pytest.approx(1)
        assert set(voice.name.split("+")) <= {"af_low", "bm_high", "jf_mid"}


def test_only_function_words_have_weak_forms(module):
    weaken = module("pronunciation").weaken
    generator = np.random.default_rng(0)
    said = [weaken(word, 1.0, generator) for word in "hiː hæd sˈiːn ðæt fɹʌm".split()]
    assert said[0] in ("hi", "i")
    assert said[1] in ("həd", "əd")
    assert said[2:] == ["sˈiːn", "ðət", "fɹəm"]
    assert weaken("hæd", 0.0, generator) == "hæd"


@pytest.mark.parametrize(
    ("accent", "before", "after"),
    [
        ("ɪŋ(?= |$)", "sˈɪŋɪŋ nˈʌθɪŋ", "sˈɪŋɪn nˈʌθɪn"),
        ("ɹ(?![ˈˌ]?[aeiouæɐɑɒɔəɚɛɜɪʊʌᵻ])", "fˈɑːɹ ɹˈɛd kˈɑːɹd", "fˈɑː ɹˈɛd kˈɑːd"),
        ("(?<=[nslfkp])[td](?= )", "lˈæst hˈænd tˈɛnt", "lˈæs hˈæn tˈɛnt"),
        ("z(?= |$)", "zˈuː hɪz", "zˈuː hɪs"),
    ],
)
def test_accents_change_the_sounds_they_name(accent, before, after, module):
    pronunciation = module("pronunciation")
    instead = dict(pronunciation.ACCENTS)[accent]
    generator = np.random.default_rng(0)
    assert pronunciation.replace_some(accent, instead, before, 1.0, generator) == after
    assert pronunciation.replace_some(accent, instead, before, 0.0, generator) == before


def test_speakers_differ_in_what_they_say(module):
    pronunciation = module("pronunciation")
    generator = np.random.default_rng(0)
    sentence = "hiː wʌz θˈɪŋkɪŋ ʌv ðə lˈɪɾəl wˈɔːɾɚ æt hˈoʊm ænd nˌɑːt ˌʌv ɪt"
    said = {pronunciation.pronounce_otherwise(sentence, generator) for _ in range(40)}
    assert len(said) > 30


def test_tempo_and_melody_vary_about_their_middle(module):
    pronunciation = module("pronunciation")
    generator = np.random.default_rng(0)
    tempo = np.log([pronunciation.draw_tempo(100, generator) for _ in range(200)])
    assert np.exp(tempo.mean()) == pytest.approx(1.04, abs=0.02)  # of 0.8 to 1.3
    assert 0.15 < tempo.std(axis=1).mean() < 0.22

    pitch = np.where(np.arange(90) % 9 < 6, 120.0 + np.arange(90), 0.0)
    voiced = pitch > 0
    heights = []
    for _ in range(200):
        melody = pronunciation.draw_melody(pitch, generator)
        np.testing.assert_array_equal(melody > 0, voiced)
        assert (np.diff(melody[voiced]) > 0).all()
        heights.append(np.log(np.median(melody[voiced]) / np.median(pitch[voiced])))
    assert np.std(heights) == pytest.approx(0.12, rel=0.2)
    silence = np.zeros(5)
    np.testing.assert_array_equal(pronunciation.draw_melody(silence, generator), silence)


def test_speaks_every_sentence_at_the_pitch_that_it_is_given(module, monkeypatch, tmp_path):
    kokoro = module("kokoro")

    class OneTone:
        """Says anything in two seconds, at 125 Hz."""

        def __init__(self, model, voices, folder):
            assert (model.name, voices.name) == ("kokoro.onnx", "voices")

        def speaker(self, generator):
            return kokoro.Voice({"af_low": 0.7, "bm_high": 0.3}, {"af_low": 1.0}, 1.5)

        def decode(self, text, voice, generator):
            if "long" in text:
                return None
            hidden = np.ones((160, 512), "float32")
            return kokoro.Decoded(
                hidden, np.full(160, 125.0), np.ones(160), np.ones(128, "float32")
            )

        def speak(self, text, voice, generator):
            decoded = self.decode(text, voice, generator)
            return decoded and (decoded, tone(125, 2, rate=24000))

    sentences = tmp_path / "sentences.txt"
    sentences.write_text("\u201cDon't,\u201d said Mr. 'Ames'.\nIn 1850.\nToo long\n")
    spec = importlib.util.spec_from_file_location("speak", FOLDER / "__main__.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "Kokoro", OneTone)
    monkeypatch.setattr(example, "draw_melody", lambda pitch, generator: pitch)
    folder = tmp_path / "spoken"
    arguments = [
        "--model",
        "kokoro.onnx",
        "--voices",
        "voices",
        "--listen",
        "0.002",
        "--learn",
        "0.05",
    ]
    monkeypatch.setattr(sys, "argv", ["speak", str(sentences), str(folder), *arguments])
    example.main()
    speaker = OneTone(Path("kokoro.onnx"), Path("voices"), folder)
    with pytest.raises(ValueError, match="none of which was said"):
        example.listen(speaker, ["Too long"], 0.001, np.random.default_rng(0))

    (utterance,) = kc.data.read_manifest(folder / "manifest.jsonl")
    assert (utterance.text, utterance.split) == ("don't said mister ames", "synthetic")
    assert utterance.speaker == "af_low+bm_high"
    waveform = kc.data.load_audio(utterance.audio)
    assert len(waveform) == 16000 * utterance.duration == 32000
    assert 0.19 < np.abs(waveform).max() < 0.81
    assert is_of_pitch(waveform, 125)
