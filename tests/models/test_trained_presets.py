"""The presets whose weights come with the package."""

import importlib.resources

import pytest

import keras_contextnet as kc
from keras_contextnet.models.trained_presets import TRAINED_PRESETS, trained_preset_folder


def test_take_no_more_room_than_promised():
    package = importlib.resources.files("keras_contextnet")
    assert TRAINED_PRESETS
    sizes = []
    for name in TRAINED_PRESETS:
        folder = trained_preset_folder(name)
        assert folder.is_relative_to(str(package))
        assert (folder / "README.md").is_file()  # the model card
        sizes += [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert sum(sizes) <= 30e6


@pytest.mark.parametrize("name", TRAINED_PRESETS)
def test_are_listed_and_load_with_their_weights(name):
    assert name in kc.ContextNet.presets
    model = kc.ContextNet.from_preset(name, load_weights=True)
    assert model.tokenizer.vocabulary_size + 1 == model.joiner.vocabulary_size
    assert {str(weight.dtype) for weight in model.trainable_weights} == {"float32"}


def test_small_en_transcribes_speakers_whom_it_has_not_heard(examples):
    model = kc.ContextNet.from_preset("small_en")
    texts = model.transcribe([kc.data.load_audio(line["audio"]) for line in examples])
    errors = kc.metrics.word_errors([line["text"] for line in examples], texts)
    assert errors.length == 101
    assert errors.rate < 0.2  # 20 words when it was shipped; of broken weights, nearly all
