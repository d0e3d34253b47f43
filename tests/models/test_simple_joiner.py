import keras
import numpy as np
import pytest

from keras_contextnet.models import SimpleJoiner


@pytest.fixture
def inputs(rng):
    """Encoder frames and predictor outputs."""
    return [rng.normal(size=shape).astype("float32") for shape in ((2, 4, 6), (2, 3, 5))]


def reference(inputs, weights):
    kernels, biases = weights[::2], weights[1::2]
    return [x @ kernel + bias for x, kernel, bias in zip(inputs, kernels, biases, strict=True)]


def test_matches_numpy(inputs, rng, call):
    joiner = SimpleJoiner(7)
    joiner.build(*(x.shape for x in inputs))
    joiner.set_weights([rng.normal(size=w.shape) for w in joiner.weights])
    logits = call(joiner, *inputs)
    shapes = joiner.compute_output_shape(*(x.shape for x in inputs))
    assert [tuple(x.shape) for x in logits] == list(shapes) == [(2, 4, 7), (2, 3, 7)]
    for one, expected in zip(logits, reference(inputs, joiner.get_weights()), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)


def test_config_and_keras_file_round_trip(tmp_path, inputs):
    joiner = SimpleJoiner(7, name="simple")
    config = joiner.get_config()
    assert SimpleJoiner.from_config(config).get_config() == config
    symbolic = [keras.Input(x.shape[1:]) for x in inputs]
    model = keras.Model(symbolic, joiner(*symbolic))
    model.save(tmp_path / "joiner.keras")
    again = keras.models.load_model(tmp_path / "joiner.keras")
    expected = reference(inputs, joiner.get_weights())
    for one, other in zip(again.predict(inputs, verbose=0), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_frames_of_padding_change_no_other(inputs, call):
    joiner = SimpleJoiner(7)
    joiner.build(*(x.shape for x in inputs))
    padded = np.concatenate([inputs[0], np.full((2, 2, 6), np.nan, "float32")], axis=1)
    alone, _ = call(joiner, *inputs)
    beside, _ = call(joiner, padded, inputs[1])
    np.testing.assert_allclose(np.asarray(beside)[:, :4], alone, atol=1e-6)


def test_mixed_precision(inputs, call):
    joiner = SimpleJoiner(7, dtype="mixed_bfloat16")
    joiner.build(*(x.shape for x in inputs))
    logits = call(joiner, *inputs)
    assert all(keras.backend.standardize_dtype(x.dtype) == "bfloat16" for x in logits)
    assert all(w.dtype == "float32" for w in joiner.weights)
