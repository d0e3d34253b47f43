import copy
import json
import pickle
import re
import sys

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import keras_contextnet as kc
from keras_contextnet.text import AggregateTokenizer, CharacterTokenizer, train_sentencepiece

tf = pytest.importorskip("tensorflow")

ENGLISH = train_sentencepiece(
    ["she sells sea shells by the sea shore", "the shells she sells are sea shells"] * 4, 19
)
SPANISH = train_sentencepiece(["el perro de san roque no tiene rabo", "el mañana es de él"] * 4, 24)
GEORGIAN = CharacterTokenizer(" აბგ")
TOKENIZERS = {"en": ENGLISH, "ka": GEORGIAN, "es-ES": SPANISH}
FIRST_IDS = {"en": 0, "ka": 19, "es-ES": 23}
TEXTS = {"en": "the sea", "es-ES": "perro mañana", "ka": "აბ გ"}

needs_tensorflow_text = pytest.mark.skipif(
    sys.platform == "win32", reason="tensorflow-text has no wheels for Windows"
)


@pytest.fixture(scope="module")
def tokenizer():
    return AggregateTokenizer(TOKENIZERS)


# Mostly what the vocabularies know, and now and then anything at all.
ANY_TEXT = st.text(
    st.sampled_from("abehlnorst ñé") | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=20,
)
GEORGIAN_TEXT = st.text(" აბგ", max_size=20)
LANGUAGE_AND_TEXTS = st.one_of(
    [
        st.tuples(st.just(language), st.lists(text, min_size=1, max_size=4))
        for language, text in [("en", ANY_TEXT), ("es-ES", ANY_TEXT), ("ka", GEORGIAN_TEXT)]
    ]
)


def test_pieces_are_laid_end_to_end(tokenizer):
    assert tokenizer.pieces == ENGLISH.pieces + GEORGIAN.pieces + SPANISH.pieces
    assert tokenizer.vocabulary_size == len(tokenizer.pieces) == 19 + 4 + 24
    assert list(tokenizer.tokenizers) == ["en", "ka", "es-ES"]
    assert tokenizer.tokenizers["es-ES"] is SPANISH
    for language, first in FIRST_IDS.items():
        own = [first + i for i in TOKENIZERS[language].encode(TEXTS[language])]
        assert tokenizer.encode(TEXTS[language], language) == own


@settings(max_examples=40)
@given(LANGUAGE_AND_TEXTS)
def test_one_language_is_its_own_tokenizers(language_and_texts):
    language, texts = language_and_texts
    tokenizer, own = AggregateTokenizer(TOKENIZERS), TOKENIZERS[language]
    ids = range(FIRST_IDS[language], FIRST_IDS[language] + own.vocabulary_size)
    for text in texts:
        encoded = tokenizer.encode(text, language)
        assert set(encoded) <= set(ids)  # and these ranges do not overlap
        assert tokenizer.decode(encoded) == own.decode(own.encode(text))
    assert tokenizer.encode_batch(texts, language) == [tokenizer.encode(t, language) for t in texts]


# Without the unknown pieces, which decode with spaces around them, and lone signs for a space,
# which SentencePiece leaves out at the start.
@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [
                i
                for i, piece in enumerate(ENGLISH.pieces + GEORGIAN.pieces + SPANISH.pieces)
                if piece not in ("<unk>", "▁", " ")
            ]
        )
    )
)
@example([])
def test_mixed_languages_decode_as_their_pieces_do(ids):
    tokenizer = AggregateTokenizer(TOKENIZERS)
    expected = "".join(tokenizer.pieces[i] for i in ids).replace("▁", " ").removeprefix(" ")
    assert tokenizer.decode(ids) == expected


def test_a_text_that_changes_language(tokenizer):
    parts = [tokenizer.encode(TEXTS[language], language) for language in ("es-ES", "en", "es-ES")]
    expected = "perro mañana the sea perro mañana"
    ids = np.concatenate(parts)
    assert tokenizer.decode(ids.tolist()) == tokenizer.decode(ids) == expected
    assert tokenizer.decode(tf.constant(ids)) == expected
    # A sign for a space at the end of one language is as good as one at the start of the next.
    space = SPANISH.pieces.index("▁")
    assert tokenizer.decode([*parts[1], 23 + space, 19 + 1]) == "the sea ა"
    assert tokenizer.decode([23 + space, *parts[1]]) == "the sea"
    assert tokenizer.decode_batch(parts) == ["perro mañana", "the sea", "perro mañana"]


def test_default_language(tokenizer):
    assert tokenizer.language == "en"
    assert tokenizer.encode("the sea") == ENGLISH.encode("the sea")
    spanish = tokenizer.with_language("es-ES")
    assert (spanish.language, tokenizer.language) == ("es-ES", "en")
    assert spanish.encode("perro") == tokenizer.encode("perro", "es-ES")
    assert spanish.encode_batch(["perro"]) == [spanish.encode("perro")]
    assert spanish.encode("the sea", "en") == tokenizer.encode("the sea")
    assert AggregateTokenizer(TOKENIZERS, language="ka").encode("გ") == [19 + 3]


def assert_encode_tensor_equals_encode(tokenizer, texts, *language):
    tokens, lengths = tokenizer.encode_tensor(tf.constant(texts), *language)
    assert tokens.dtype == lengths.dtype == tf.int32
    for text, row, length in zip(texts, tokens.numpy(), lengths.numpy(), strict=True):
        assert row[:length].tolist() == tokenizer.encode(text, *language)
        assert not row[length:].any()


@needs_tensorflow_text
@given(LANGUAGE_AND_TEXTS)
@example(("ka", ["", "აბ გ"]))
@example(("es-ES", [""]))
def test_encode_tensor_equals_encode(language_and_texts):
    language, texts = language_and_texts
    tokenizer = AggregateTokenizer(TOKENIZERS)
    assert_encode_tensor_equals_encode(tokenizer, texts, language)
    assert_encode_tensor_equals_encode(tokenizer.with_language(language), texts)


@needs_tensorflow_text
def test_encode_tensor_in_a_pipeline(tokenizer):
    texts = ["perro", "", "el mañana de san roque"]
    encode = tokenizer.with_language("es-ES").encode_tensor
    ((tokens, lengths),) = tf.data.Dataset.from_tensor_slices(texts).batch(3).map(encode)
    ids = [row[:n].tolist() for row, n in zip(tokens.numpy(), lengths, strict=True)]
    assert ids == tokenizer.encode_batch(texts, "es-ES")
    assert not tokens.numpy()[1].any()


def test_unknown_language(tokenizer):
    message = re.escape("to be one of ['en', 'ka', 'es-ES']. Received: 'fr'.")
    for run in (
        lambda: tokenizer.encode("a", "fr"),
        lambda: tokenizer.encode_batch(["a"], language="fr"),
        lambda: tokenizer.encode_tensor(tf.constant(["a"]), "fr"),
        lambda: tokenizer.with_language("fr"),
        lambda: AggregateTokenizer(TOKENIZERS, language="fr"),
    ):
        with pytest.raises(ValueError, match=message):
            run()


@pytest.mark.parametrize(
    "language",
    ["", ".", "..", "a/b", "a\\b", "/en", "c:", "en ", ".en", "-en", "ñ", "en\n", "Con", "lpt1", 1],
)
def test_language_that_can_not_name_a_folder(language):
    with pytest.raises(ValueError, match=re.escape(f"Received: {language!r}.")):
        AggregateTokenizer({"en": GEORGIAN, language: GEORGIAN})


@pytest.mark.parametrize("language", ["en", "pt-BR", "zh_CN", "cons", "419", "COM"])
def test_language_that_can(language):
    assert AggregateTokenizer({language: GEORGIAN}).language == language


@pytest.mark.parametrize(
    ("tokenizers", "error", "message"),
    [
        ({}, ValueError, "at least one language"),
        ([GEORGIAN], TypeError, "a mapping from languages to tokenizers. Received: .*list"),
        ({"en": None}, TypeError, r"Received: None \(type NoneType\) for 'en'"),
        ({"en": AggregateTokenizer({"ka": GEORGIAN})}, ValueError, "AggregateTokenizer for 'en'"),
        (
            {"en": GEORGIAN, "EN": GEORGIAN},
            ValueError,
            r"upper and lower.*Received: \['en', 'EN'\]",
        ),
    ],
)
def test_bad_tokenizers(tokenizers, error, message):
    with pytest.raises(error, match=message):
        AggregateTokenizer(tokenizers)


@pytest.mark.parametrize("i", [-1, 47])
def test_decoding_what_is_not_a_piece(tokenizer, i):
    with pytest.raises(ValueError, match=rf"\[0, 47\). Received: {i}. The blank \(id 47\)"):
        tokenizer.decode([1, i])


def test_errors_of_the_languages_own_tokenizer(tokenizer):
    with pytest.raises(TypeError, match=r"Expected text to be a str\. Received: b'a'"):
        tokenizer.encode(b"a")
    with pytest.raises(TypeError, match="one str"):
        tokenizer.encode_batch("abc")
    with pytest.raises(ValueError, match="'b' is not in the alphabet"):
        tokenizer.encode("b", "ka")


def through_assets(tokenizer, folder):
    config = json.loads(json.dumps(tokenizer.get_config(with_assets=False)))
    assert len(json.dumps(config)) < 1000
    tokenizer.save_assets(folder)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert sorted(files) == ["en/vocabulary.spm", "es-ES/vocabulary.spm"]
    restored = AggregateTokenizer.from_config(config)
    with pytest.raises(ValueError, match="no vocabulary yet"):
        restored.encode("a", "es-ES")
    restored.load_assets(folder)
    return restored


def through_keras(tokenizer, _):
    # Sorting must not change which language comes first.
    config = json.dumps(keras.saving.serialize_keras_object(tokenizer), sort_keys=True)
    return keras.saving.deserialize_keras_object(json.loads(config))


@pytest.mark.parametrize(
    "copied",
    [
        lambda t, _: copy.deepcopy(t),
        lambda t, _: pickle.loads(pickle.dumps(t)),
        lambda t, _: AggregateTokenizer.from_config(json.loads(json.dumps(t.get_config()))),
        through_keras,
        through_assets,
    ],
)
def test_copies(tmp_path, tokenizer, copied):
    restored = copied(tokenizer.with_language("es-ES"), tmp_path / "assets" / "tokenizer")
    assert restored.pieces == tokenizer.pieces
    assert restored.language == "es-ES"
    for language, text in TEXTS.items():
        assert restored.encode(text, language) == tokenizer.encode(text, language)


def test_a_preset_keeps_its_languages(tokenizer, make_contextnet, tmp_path):
    model = make_contextnet(
        decisive=False,
        predictor=kc.Predictor(48, embedding_size=4, units=4),
        joiner=kc.Joiner(48, units=4),
        tokenizer=tokenizer.with_language("ka"),
    )
    for _ in range(2):  # the second time over the first
        model.save_to_preset(tmp_path / "preset")
    assert (tmp_path / "preset/tokenizer.json").stat().st_size < 2000
    model.save(tmp_path / "model.keras")
    for again in (
        kc.ContextNet.from_preset(tmp_path / "preset"),
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        assert again.tokenizer.language == "ka"
        assert again.tokenizer.pieces == tokenizer.pieces
        assert again.tokenizer.encode("perro", "es-ES") == tokenizer.encode("perro", "es-ES")


def test_load_assets_names_the_file(tmp_path, tokenizer):
    tokenizer.save_assets(tmp_path)
    missing = tmp_path / "es-ES" / "vocabulary.spm"
    missing.unlink()
    restored = AggregateTokenizer.from_config(tokenizer.get_config(with_assets=False))
    with pytest.raises(FileNotFoundError, match=re.escape(str(missing))):
        restored.load_assets(tmp_path)
