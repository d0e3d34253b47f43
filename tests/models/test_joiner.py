import keras
import numpy as np
import pytest

import keras_contextnet as kc


def reference(frames, tokens, joiner, activation):
    """W activation(W_e frame + b_e + W_p token + b_p) + b, for every pair, in NumPy."""
    weights = [w.astype("float64") for w in joiner.get_weights()]
    if not joiner.use_bias:
        weights = [part for kernel in weights for part in (kernel, 0)]
    encoder_kernel, encoder_bias, predictor_kernel, predictor_bias, kernel, bias = weights
    logits = np.empty((*frames.shape[:2], tokens.shape[1], kernel.shape[1]))
    for b, t, u in np.ndindex(logits.shape[:3]):
        joint = frames[b, t] @ encoder_kernel + encoder_bias
        joint = joint + tokens[b, u] @ predictor_kernel + predictor_bias
        logits[b, t, u] = activation(joint) @ kernel + bias
    return logits


@pytest.fixture
def inputs(rng):
    """Encoder frames and predictor outputs."""
    shapes = ((2, 4, 6), (2, 3, 5))
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_matches_numpy(name, use_bias, inputs, rng, call):
    joiner = kc.Joiner(7, units=8, activation=name, use_bias=use_bias)
    joiner.build(*(x.shape for x in inputs))
    joiner.set_weights([rng.normal(size=w.shape) for w in joiner.weights])
    activation = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[name]
    expected = reference(*inputs, joiner, activation)
    y = np.asarray(call(joiner, *inputs))
    assert y.shape == joiner.compute_output_shape(*(x.shape for x in inputs)) == (2, 4, 3, 7)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert len(joiner.weights) == (6 if use_bias else 3)

    here = joiner.join(
        joiner.encoder_projection(inputs[0][:, 1]), joiner.predictor_projection(inputs[1][:, 2])
    )
    np.testing.assert_allclose(here, expected[:, 1, 2], rtol=1e-4, atol=1e-5)


def test_config_and_keras_file_round_trip(tmp_path, inputs):
    joiner = kc.Joiner(7, units=8, activation="relu", use_bias=False, name="joint")
    config = joiner.get_config()
    assert kc.Joiner.from_config(config).get_config() == config
    symbolic = [keras.Input(x.shape[1:]) for x in inputs]
    model = keras.Model(symbolic, joiner(*symbolic))
    model.save(tmp_path / "joiner.keras")
    again = keras.models.load_model(tmp_path / "joiner.keras")
    expected = reference(*inputs, joiner, lambda x: np.maximum(x, 0))
    np.testing.assert_allclose(again.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_mixed_precision(inputs, call):
    joiner = kc.Joiner(7, units=8, dtype="mixed_float16")
    joiner.build(*(x.shape for x in inputs))
    y = call(joiner, *inputs)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    expected = reference(*inputs, joiner, np.tanh)
    np.testing.assert_allclose(y, expected, atol=0.02)
    assert {weight.dtype for weight in joiner.weights} == {"float32"}


def test_training_multiplies_in_bfloat16_when_asked_to(bfloat16_products, inputs, rng, call):
    joiner = kc.Joiner(7, units=64)
    joiner.build(*(x.shape for x in inputs))
    joiner.set_weights([rng.normal(size=w.shape) for w in joiner.weights])
    expected = reference(*inputs, joiner, np.tanh)
    np.testing.assert_allclose(call(joiner, *inputs), expected, rtol=1e-4, atol=1e-5)
    trained = joiner(*inputs, training=True)
    assert keras.backend.standardize_dtype(trained.dtype) == "float32"
    errors = np.abs(np.asarray(trained) - expected)
    # A product of n random terms is off by about sqrt(n) times the terms' own rounding.
    assert 1e-3 < errors.max() < 64**0.5 * 2**-7
