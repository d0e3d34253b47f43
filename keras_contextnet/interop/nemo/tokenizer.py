"""NeMo's tokenizer sections and labels as tokenizers."""

from __future__ import annotations

from keras_contextnet.interop.nemo.archive import NemoFileError
from keras_contextnet.interop.nemo.settings import Settings
from keras_contextnet.text import (
    AggregateTokenizer,
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
)

SCHEME = "nemo:"


def make_tokenizer(settings: Settings, files: dict[str, bytes]) -> Tokenizer:
    """Returns the tokenizer of a model: SentencePiece, several of them, or characters.

    Args:
        settings: the whole configuration.
        files: contents by name of the files beside it.

    Raises:
        NemoFileError: for another kind of tokenizer, or a missing or broken file.
    """
    if "tokenizer" not in settings:
        return _characters(settings)
    section = settings.section("tokenizer")
    if section.text("type").lower() != "agg":
        return _sentencepiece(section, files)
    languages = {
        language: _sentencepiece(settings, files)
        for language, settings in section.section("langs").items()
    }
    try:
        return AggregateTokenizer(languages)
    except ValueError as error:
        raise NemoFileError(f"The setting tokenizer.langs is not supported: {error}") from error


def _sentencepiece(settings: Settings, files: dict[str, bytes]) -> SentencePieceTokenizer:
    kind = settings.text("type").lower()
    if kind != "bpe":
        raise settings.unsupported("type", kind, "bpe (SentencePiece), or agg of such")
    name = _model_name(settings, files)
    try:
        return SentencePieceTokenizer(files[name])
    except ValueError as error:
        raise NemoFileError(
            f"Expected {name} in the archive to be a SentencePiece model. It is not."
        ) from error


def _model_name(settings: Settings, files: dict[str, bytes]) -> str:
    path = settings.text("model_path", "")
    name = path.removeprefix(SCHEME).rpartition("/")[2]
    if name in files:
        return name
    # The first releases of NeMo left the setting out, or as the path on the author's machine.
    models = [file for file in files if file.endswith("tokenizer.model")]
    if len(models) == 1 and not path.startswith(SCHEME):
        return models[0]
    raise NemoFileError(
        f"Expected the file that the setting {settings.name_of('model_path')} names. Received: "
        f"{path!r}, which is not in the archive."
    )


def _characters(settings: Settings) -> CharacterTokenizer:
    try:
        return CharacterTokenizer(settings.texts("labels"))
    except NemoFileError:
        raise
    except ValueError as error:
        raise NemoFileError(f"The setting labels is not supported: {error}") from error
