import pytest

from keras_contextnet.interop.nemo import NemoFileError
from keras_contextnet.interop.nemo.settings import Settings
from keras_contextnet.interop.nemo.tokenizer import make_tokenizer
from keras_contextnet.text import english_tokenizer


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A SentencePiece model as bytes."""
    folder = tmp_path_factory.mktemp("english")
    english_tokenizer().save_assets(folder)
    return (folder / "vocabulary.spm").read_bytes()


def bpe(**settings):
    return Settings({"tokenizer": {"type": "bpe", **settings}})


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"model_path": "nemo:12ab_tokenizer.model"}, "12ab_tokenizer.model"),
        ({"model_path": "tokenizer.model"}, "tokenizer.model"),
        ({"model_path": "/home/someone/tokenizer.model"}, "tokenizer.model"),
        ({"model_path": "/home/someone/english.model"}, "12ab_tokenizer.model"),
        ({"dir": "/home/someone"}, "tokenizer.model"),
    ],
)
def test_finds_the_model_that_each_release_of_nemo_names(settings, name, pieces):
    tokenizer = make_tokenizer(bpe(**settings), {name: pieces, "vocab.txt": b""})
    assert tokenizer.encode("hello") == english_tokenizer().encode("hello")


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"model_path": "nemo:12ab_tokenizer.model"}, ["tokenizer.model"]),
        ({}, []),
        ({}, ["1_tokenizer.model", "2_tokenizer.model"]),
    ],
)
def test_a_missing_model_is_an_error(settings, files, pieces):
    with pytest.raises(NemoFileError, match=r"tokenizer\.model_path names.*not in the archive"):
        make_tokenizer(bpe(**settings), dict.fromkeys(files, pieces))


def test_a_broken_model_is_an_error():
    with pytest.raises(NemoFileError, match=r"to be a SentencePiece model\. It is not"):
        make_tokenizer(bpe(), {"tokenizer.model": b"not one"})


def test_languages_keep_their_order(pieces):
    languages = {
        language: {"type": "bpe", "model_path": f"nemo:{language}_tokenizer.model"}
        for language in ("es", "en")
    }
    settings = Settings({"tokenizer": {"type": "agg", "langs": languages}})
    tokenizer = make_tokenizer(
        settings, {"en_tokenizer.model": pieces, "es_tokenizer.model": pieces}
    )
    assert list(tokenizer.tokenizers) == ["es", "en"]
    english = tokenizer.encode("hello", language="en")
    assert english == [1023 + token for token in english_tokenizer().encode("hello")]


@pytest.mark.parametrize("language", [None, "../outside"])
def test_languages_that_do_not_do_are_an_error(language, pieces):
    languages = {language: {"type": "bpe", "model_path": "v.model"}} if language else {}
    settings = Settings({"tokenizer": {"type": "agg", "langs": languages}})
    with pytest.raises(NemoFileError, match=r"tokenizer\.langs is not supported: Expected"):
        make_tokenizer(settings, {"v.model": pieces})


def test_labels_are_characters():
    assert make_tokenizer(Settings({"labels": [" ", "a", "b"]}), {}).encode("a b") == [1, 0, 2]
