import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_contextnet.data import AudioError
from keras_contextnet.litert import LiteRTFileError, Transcriber

pytestmark = pytest.mark.tensorflow_only
pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def transcriber(litert_file):
    return Transcriber(litert_file)


@pytest.fixture(scope="module")
def long_audio(recordings):
    """A minute and a half of the recordings, each at several volumes, in noise."""
    generator = np.random.default_rng(0)
    parts = []
    while sum(map(len, parts)) < 90 * 16000:
        audio, _ = recordings[generator.integers(2)]
        parts.append(audio * generator.uniform(0.5, 1.0))
        parts.append(generator.normal(size=generator.integers(1000, 8000)) * 1e-3)
    return np.concatenate(parts).astype("float32")


def ids(tokens):
    return [token.id for token in tokens]


def test_text_tokens_and_times_of_recordings(transcriber, model, recordings, tmp_path):
    for audio, expected in recordings:
        transcript = transcriber.transcribe(audio)
        assert ids(transcript.tokens) == expected
        assert transcript.text == model.tokenizer.decode(expected)
        times = [token.time for token in transcript.tokens]
        assert times == sorted(times)
        assert 0 < times[-1] < len(audio) / 16000
        soundfile.write(tmp_path / "a.wav", audio, 16000, "PCM_24")
        assert transcriber.transcribe(tmp_path / "a.wav").text == transcript.text
        assert transcriber.transcribe(str(tmp_path / "a.wav")).tokens == transcript.tokens


def test_times_are_those_of_the_frames(transcriber, recordings):
    """The frames of `transcribe` are those of decoding by `encode`, `predict` and `join`."""
    audio, _ = recordings[0]
    decoder = transcriber._decoder
    emissions = list(decoder.decode(transcriber._encode(audio), decoder.start(), 0))
    seconds = transcriber.metadata["frame_seconds"]
    expected = [(emission.token, pytest.approx(emission.frame * seconds)) for emission in emissions]
    tokens = transcriber.transcribe(audio).tokens
    assert [(token.id, token.time) for token in tokens] == expected


def test_long_audio_is_encoded_window_by_window(talkative_file, long_audio):
    transcriber = Transcriber(talkative_file, window_seconds=12)
    seen, encode = [], transcriber._encode
    transcriber._encode = lambda samples: seen.append(len(samples)) or encode(samples)
    tokens = transcriber.transcribe(long_audio).tokens
    times = [token.time for token in tokens]
    assert times == sorted(times)
    assert len(times) > 100
    assert 85 < times[-1] < 91
    assert max(np.diff(times)) < 6
    assert seen[:-1] == [12 * 16000] * 14  # one every 6 s
    assert 0 <= 12 * 16000 - seen[-1] < 640  # less than a frame


def test_audio_of_one_window_is_one_call(talkative_file, long_audio):
    long, short = (Transcriber(talkative_file, window_seconds=seconds) for seconds in (12, 120))
    runs = []
    run = short._run
    short._run = lambda signature, **inputs: runs.append(signature) or run(signature, **inputs)
    assert ids(short.transcribe(long_audio).tokens) != []
    assert runs == ["transcribe"]
    for seconds in (11.99, 12, 12.01):
        audio = long_audio[: round(seconds * 16000)]
        one, two = (ids(t.transcribe(audio).tokens) for t in (short, long))
        assert one == two or seconds > 12


@pytest.mark.parametrize("seconds", [0.1, 0.5, 3.7])
def test_a_stream_gives_what_the_whole_gives(talkative_file, long_audio, seconds):
    transcriber = Transcriber(talkative_file, window_seconds=12)
    audio = long_audio[: 40 * 16000]
    step = round(seconds * 16000)
    given = []

    def microphone():
        for start in range(0, len(audio), step):
            given.append(start)
            yield audio[start : start + step]

    stream = transcriber.stream(microphone())
    first = next(stream)
    assert given[-1] < 14 * 16000  # the first window and the sample after it
    assert (first, *stream) == transcriber.transcribe(audio).tokens


def test_a_stream_of_nothing(transcriber):
    assert list(transcriber.stream([])) == []


@pytest.mark.parametrize("samples", [1, 159, 160, 400, 1279])
def test_very_short_audio(transcriber, samples):
    transcript = transcriber.transcribe(np.zeros(samples))
    assert transcript.text == "".join(word.text for word in transcript.words)


def test_another_rate(transcriber, recordings):
    audio, expected = recordings[0]
    doubled = np.repeat(audio, 2)
    assert len(transcriber.transcribe(doubled, sample_rate=32000).tokens) >= len(expected) - 2
    assert transcriber.sample_rate == 16000


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ([], "at least one sample"),
        (np.zeros(16000, "int16"), r"floating-point samples.*int16"),
        (np.zeros((16000, 2), "float32"), r"one axis.*\(16000, 2\)"),
        (np.full(16000, np.nan), "finite"),
        (None, "floating-point samples"),
        ("none.wav", "none.wav, which does not exist"),
    ],
)
def test_wrong_audio_is_an_error(transcriber, audio, message):
    with pytest.raises(AudioError, match=message):
        transcriber.transcribe(audio)


def test_wrong_arguments_are_errors(litert_file):
    for threads in (0, -1, 1.5):
        with pytest.raises(ValueError, match="`num_threads` to be None or at least 1"):
            Transcriber(litert_file, num_threads=threads)
    with pytest.raises(ValueError, match="`window_seconds` to be at least 12 seconds"):
        Transcriber(litert_file, window_seconds=5)


def test_a_model_without_vocabulary_is_an_error(transcriber, tmp_path, litert_file, monkeypatch):
    from keras_contextnet.litert import transcriber as module

    metadata = {**transcriber.metadata, "tokens": None}
    monkeypatch.setattr(module, "read_metadata", lambda path: metadata)
    with pytest.raises(LiteRTFileError, match=r"no tokens\.txt\. Export a model with a tokenizer"):
        Transcriber(litert_file)
    metadata["tokens"] = ["a"]
    with pytest.raises(LiteRTFileError, match=r"a tokens\.txt of 1 lines"):
        Transcriber(litert_file)


def test_a_graph_that_the_runtime_cannot_read_is_an_error(litert_file, tmp_path, monkeypatch):
    from keras_contextnet.litert import transcriber as module

    metadata = module.read_metadata(litert_file)
    monkeypatch.setattr(module, "read_metadata", lambda path: metadata)
    data = litert_file.read_bytes()
    path = tmp_path / "cut.tflite"
    for length in (8, 100, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(LiteRTFileError, match=r"cut\.tflite"):
            Transcriber(path)


def test_without_the_runtime_it_says_what_to_install(litert_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        Transcriber(litert_file)


def test_threads_share_a_transcriber(transcriber, recordings):
    found = [[], []]

    def work(row):
        for _ in range(5):
            found[row].append(ids(transcriber.transcribe(recordings[row][0]).tokens))

    threads = [threading.Thread(target=work, args=(row,)) for row in range(2)]
    for act in (threading.Thread.start, threading.Thread.join):
        for thread in threads:
            act(thread)
    assert found == [[expected] * 5 for _, expected in recordings]


PROGRAM = """
import resource, sys
import numpy as np
from keras_contextnet.litert import Transcriber

transcriber = Transcriber(sys.argv[1], num_threads=1, window_seconds=12)
block = np.random.default_rng(0).normal(size=16000).astype("float32") * 0.1

def peak_after(seconds):
    for token in transcriber.stream(block for _ in range(seconds)):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # MB

print(peak_after(60), peak_after(600))
print(transcriber.transcribe(sys.argv[2]).text)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_bounded_memory_with_no_other_package(litert_file, recordings, model, tmp_path):
    # Modules of these names that fail: what a Raspberry Pi without them is like.
    for name in ("tensorflow", "keras", "sentencepiece", "soundfile", "soxr", "scipy"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not for LiteRT')")
    audio, expected = recordings[1]
    soundfile.write(tmp_path / "a.wav", audio, 16000, "PCM_24")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, litert_file, tmp_path / "a.wav"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    peaks, text = done.stdout.splitlines()
    minute, ten_minutes = map(int, peaks.split())
    # Ten minutes are 38 MB of samples.
    assert ten_minutes < minute + 12
    assert text == model.tokenizer.decode(expected)
