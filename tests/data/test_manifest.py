import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.data import ManifestError, Utterance, read_manifest, write_manifest

EXAMPLES = Path(__file__).parents[2] / "examples/audio"


def write_lines(folder, *entries, audio=("a.wav", "b.wav")):
    for name in audio:
        (folder / name).write_bytes(b"")
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries))
    return path


def test_shipped_manifest():
    utterances = read_manifest(EXAMPLES / "manifest.jsonl")
    assert len({u.id for u in utterances}) == 10
    assert len({u.speaker for u in utterances}) >= 3
    assert all(2 < u.duration < 5 and u.audio.parent == EXAMPLES for u in utterances)
    assert sum(u.audio.stat().st_size for u in utterances) < 1_000_000


def test_own_keys(tmp_path):
    entry = {"id": 7, "path": "a.wav", "text": "hi", "duration": 1, "speaker": 3, "split": "dev"}
    path = write_lines(tmp_path, {**entry, "licence": "CC0"})
    expected = Utterance("7", tmp_path / "a.wav", "hi", duration=1.0, speaker="3", split="dev")
    assert read_manifest(str(path)) == [expected]


def test_nemo_keys_and_absolute_paths(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.wav").write_bytes(b"")
    path = write_lines(
        tmp_path,
        {"audio_filepath": "a.wav", "text": "", "duration": 2.5},
        "",
        {"audio_filepath": str(other / "c.wav"), "text": "x"},
    )
    assert read_manifest(path) == [
        Utterance("a", tmp_path / "a.wav", "", duration=2.5),
        Utterance("c", other / "c.wav", "x"),
    ]


def test_split(tmp_path):
    path = write_lines(
        tmp_path,
        {"path": "a.wav", "text": "a", "split": "train"},
        {"path": "b.wav", "text": "b", "split": "dev"},
    )
    assert [u.text for u in read_manifest(path, split="dev")] == ["b"]
    with pytest.raises(ManifestError, match=r"\['dev', 'train'\]. Received: split='test'"):
        read_manifest(path, split="test")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "a.wav", "text": "a"', "Expected JSON. Received"),
        ('["a.wav"]', "Expected a JSON object"),
        ({"path": "a.wav"}, r'"text", a string. Received: None among the keys \[\'path\'\]'),
        ({"path": "a.wav", "text": 5}, "Received: 5"),
        ({"text": "a"}, '"path" or "audio_filepath". Received: None'),
        ({"path": "", "text": "a"}, '"path" or "audio_filepath"'),
        ({"path": "none.wav", "text": "a"}, r"none\.wav, no file"),
        ({"path": "a.wav", "text": "a", "duration": -1}, "duration in seconds. Received: -1"),
        ({"path": "a.wav", "text": "a", "duration": "2"}, "duration in seconds. Received: '2'"),
        ({"path": "a.wav", "text": "a", "offset": 3.5}, "offset of 3.5 s"),
    ],
)
def test_bad_lines_are_numbered(tmp_path, line, message):
    path = write_lines(tmp_path, {"path": "a.wav", "text": "fine"}, line)
    with pytest.raises(ManifestError, match=re.escape(f"{path}, line 2: ") + f".*{message}"):
        read_manifest(path)


def test_bad_files(tmp_path):
    with pytest.raises(ManifestError, match=r"none\.jsonl, no file"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match="no file"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="at least one utterance"):
        read_manifest(write_lines(tmp_path, "", "  "))
    (tmp_path / "manifest.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(tmp_path / "manifest.jsonl")


def test_manifest_error_is_a_value_error():
    assert issubclass(ManifestError, ValueError)


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4),
    duration=st.none() | st.floats(1e-3, 1e4),
    speaker=st.none() | st.text(st.characters(codec="utf-8"), max_size=3),
)
def test_write_then_read(tmp_path_factory, texts, duration, speaker):
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "wavs").mkdir()
    utterances = []
    for i, text in enumerate(texts):
        audio = folder / "wavs" / f"{i}.wav"
        audio.write_bytes(b"")
        utterances.append(Utterance(str(i), audio, text, duration, speaker, "dev"))
    write_manifest(folder / "manifest.jsonl", utterances)
    assert read_manifest(folder / "manifest.jsonl") == utterances
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.jsonl", "wavs"]


def test_written_paths(tmp_path, monkeypatch):
    for folder in ("corpus", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    inside, outside = Path("corpus/a.wav"), Path("elsewhere/a.wav")
    write_manifest("corpus/m.jsonl", [Utterance("1", inside, ""), Utterance("2", outside, "")])
    lines = (tmp_path / "corpus/m.jsonl").read_text().splitlines()
    paths = [json.loads(line)["path"] for line in lines]
    assert paths == ["a.wav", os.path.join(os.getcwd(), "elsewhere", "a.wav")]


def test_a_failed_write_keeps_the_old_manifest(tmp_path):
    path = write_lines(tmp_path, {"path": "a.wav", "text": "old"})

    def utterances():
        yield Utterance("1", tmp_path / "a.wav", "new")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_manifest(path, utterances())
    assert read_manifest(path)[0].text == "old"
