import numpy as np
import pytest
import soundfile

from keras_contextnet.data import ManifestError, Utterance, read_librispeech


@pytest.fixture
def corpus(tmp_path):
    texts = {"84-121123": ["GO DO YOU HEAR", "BUT IN LESS"], "174-50561": ["IT'S OVER"]}
    for chapter, lines in texts.items():
        folder = tmp_path / "LibriSpeech" / "dev-clean" / chapter.replace("-", "/")
        folder.mkdir(parents=True)
        rows = []
        for i, text in enumerate(lines):
            soundfile.write(folder / f"{chapter}-{i:04}.flac", np.zeros(8000 * (i + 1)), 16000)
            rows.append(f"{chapter}-{i:04} {text}\n")
        (folder / f"{chapter}.trans.txt").write_text("".join(rows))
    return tmp_path / "LibriSpeech" / "dev-clean"


def test_reads_a_subset(corpus):
    first = corpus / "174/50561/174-50561-0000.flac"
    utterances = read_librispeech(corpus)
    assert utterances[0] == Utterance("174-50561-0000", first, "it's over", 0.5, speaker="174")
    assert [u.id for u in utterances[1:]] == ["84-121123-0000", "84-121123-0001"]
    assert [u.text for u in utterances[1:]] == ["go do you hear", "but in less"]
    assert [u.duration for u in utterances[1:]] == [0.5, 1.0]


def test_reads_from_a_folder_above_or_below(corpus):
    assert read_librispeech(str(corpus.parent)) == read_librispeech(corpus)
    assert len(read_librispeech(corpus / "84" / "121123")) == 2


def test_errors(corpus, tmp_path):
    with pytest.raises(ManifestError, match="none, no folder"):
        read_librispeech(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ManifestError, match=r"trans\.txt in a LibriSpeech folder. Received: .*empty"
    ):
        read_librispeech(tmp_path / "empty")
    transcripts = corpus / "84/121123/84-121123.trans.txt"
    transcripts.write_text("84-121123-0000 A\n84-121123-0000\n")
    with pytest.raises(ManifestError, match=r"trans\.txt, line 2: Expected an id and a text"):
        read_librispeech(corpus)
    transcripts.write_text("84-121123-0009 A\n")
    with pytest.raises(ManifestError, match=r"line 1: .*84-121123-0009\.flac, no file"):
        read_librispeech(corpus)
