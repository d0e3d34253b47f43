import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.models import PredictorLanguageModel


def make_parts(blank_id=None):
    return kc.Predictor(5, embedding_size=4, units=8, blank_id=blank_id), kc.Joiner(5, units=6)


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


@pytest.mark.parametrize("blank_id", [0, 4])
def test_scores_are_the_joiners_on_silence_without_the_blank(blank_id, rng):
    predictor, joiner = make_parts(blank_id)
    tokens = rng.integers(1, 4, (2, 7))
    logits = np.asarray(PredictorLanguageModel(predictor, joiner)(tokens))
    assert logits.shape == (2, 7, 5)
    # The bias of the encoder's projection is zero, and so is what it is given.
    lattice = np.asarray(joiner(np.zeros((2, 1, 3), "float32"), predictor(tokens)))[:, 0, :-1]
    others = np.arange(5) != blank_id
    np.testing.assert_allclose(logits[..., others], lattice[..., others], rtol=1e-5, atol=1e-6)
    assert (logits[..., blank_id] < -1e8).all()


def test_looks_at_no_token_that_is_to_come(rng):
    model = PredictorLanguageModel(*make_parts())
    tokens = rng.integers(0, 4, (1, 6))
    changed = np.concatenate([tokens[:, :4], (tokens[:, 4:] + 1) % 4], axis=1)
    np.testing.assert_allclose(model(tokens)[:, :5], model(changed)[:, :5], rtol=1e-5, atol=1e-6)


def test_what_follows_a_text_is_left_out_of_the_loss(rng):
    model = PredictorLanguageModel(*make_parts())
    model.compile(loss=cross_entropy())
    tokens = rng.integers(0, 4, (1, 4))
    longer = np.concatenate([tokens, np.full((1, 5), -1)], axis=1)
    losses = [model.evaluate(each, each, verbose=0) for each in (tokens, longer)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_learns_what_comes_next():
    predictor, joiner = make_parts()
    model = PredictorLanguageModel(predictor, joiner)
    model.compile(kc.optimizers.FusedAdam(0.03), cross_entropy())
    tokens = np.tile([[0, 1, 2, 3], [3, 2, 1, 0]], (1, 4))
    model.fit(tokens, tokens, epochs=120, verbose=0)
    # All but the first, which is one of two.
    assert model.evaluate(tokens, tokens, verbose=0) < np.log(2) / 16 + 0.05


def test_saved_and_loaded(tmp_path, rng):
    model = PredictorLanguageModel(*make_parts())
    tokens = rng.integers(0, 4, (2, 3))
    expected = model(tokens)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tokens), expected)


def test_refuses_two_vocabularies():
    with pytest.raises(ValueError, match="5 and 6"):
        PredictorLanguageModel(make_parts()[0], kc.Joiner(6, units=4))
