import keras
import numpy as np
import pytest

import keras_contextnet as kc


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(tokens, predictor):
    """One row of Keras's LSTM (gates i, f, c, o) over the embedded tokens, in NumPy."""
    embeddings, *lstms = (w.astype("float64") for w in predictor.get_weights())
    x = embeddings[[predictor.blank_id, *tokens]]
    for layer in range(predictor.num_layers):
        kernel, recurrent, bias = lstms[3 * layer : 3 * layer + 3]
        h = c = np.zeros(predictor.units)
        outputs = []
        for inputs in x:
            i, f, g, o = np.split(inputs @ kernel + h @ recurrent + bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        x = np.array(outputs)
    return x  # (U + 1, units)


@pytest.fixture(params=[1, 3], ids=["one_lstm", "three_lstms"])
def predictor(request, rng):
    predictor = kc.Predictor(
        vocabulary_size=11, embedding_size=6, units=5, num_layers=request.param
    )
    predictor.build()
    predictor.set_weights([rng.normal(size=w.shape) * 0.5 for w in predictor.weights])
    return predictor


TOKENS = np.array([[3, 1, 4, 1], [9, 0, 0, 0]], "int32")


def test_matches_numpy_and_starts_with_the_blank(predictor, call):
    y = np.asarray(call(predictor, TOKENS))
    assert y.shape == predictor.compute_output_shape(TOKENS.shape) == (2, 5, 5)
    assert predictor.blank_id == 10
    for row in range(2):
        expected = reference(TOKENS[row], predictor)
        np.testing.assert_allclose(y[row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("blank_id", [0, 4])
def test_blank_id_starts_the_sequence(blank_id, call):
    predictor = kc.Predictor(11, embedding_size=6, units=5, blank_id=blank_id)
    predictor.build()
    y = np.asarray(call(predictor, TOKENS))
    np.testing.assert_allclose(y[0], reference(TOKENS[0], predictor), rtol=1e-5, atol=1e-6)


def test_no_tokens_give_the_start_alone(predictor, call):
    y = np.asarray(call(predictor, np.zeros((2, 0), "int32")))
    assert y.shape == (2, 1, 5)
    np.testing.assert_allclose(y[1], reference([], predictor), rtol=1e-5, atol=1e-6)


def test_steps_give_what_a_call_gives(predictor, call):
    expected = np.asarray(call(predictor, TOKENS))
    state = predictor.initial_state(2)
    start = np.full((2, 1), predictor.blank_id, "int32")
    for position, token in enumerate(np.concatenate([start, TOKENS], axis=1).T):
        output, state = predictor.step(token, state)
        np.testing.assert_allclose(output, expected[:, position], rtol=1e-5, atol=1e-6)


def test_dropout_of_every_lstm_acts_in_training_alone(rng):
    predictor = kc.Predictor(11, embedding_size=8, units=64, num_layers=2, lstm_dropout=0.5)
    tokens = rng.integers(0, 10, (4, 30))
    trained = np.asarray(predictor(tokens, training=True))
    assert abs((trained == 0).mean() - 0.5) < 0.05
    assert (np.asarray(predictor(tokens)) == 0).mean() < 0.01


@pytest.mark.parametrize("num_layers", [0, 1.5])
def test_number_of_layers_is_checked(num_layers):
    with pytest.raises(ValueError, match=rf"`num_layers`.*Received: num_layers={num_layers}"):
        kc.Predictor(11, num_layers=num_layers)


@pytest.mark.parametrize("blank_id", [-1, 11])
def test_blank_outside_the_vocabulary_is_an_error(blank_id):
    with pytest.raises(ValueError, match=rf"Expected `blank_id` in \[0, 11\).*={blank_id}"):
        kc.Predictor(11, blank_id=blank_id)


def noisy(seed=3, deviation=0.05, **arguments):
    predictor = kc.Predictor(
        11, embedding_size=6, units=5, variational_noise=deviation, seed=seed, **arguments
    )
    predictor.build()
    values = np.random.default_rng(1)
    predictor.set_weights(
        [values.normal(size=w.shape) * 0.5 for w in predictor.weights if w.dtype == "float32"]
    )
    return predictor


def test_noise_is_for_training_alone_and_leaves_the_weights(call):
    predictor = noisy()
    before = predictor.get_weights()
    quiet = np.asarray(call(predictor, TOKENS))
    loud = np.asarray(call(predictor, TOKENS, training=True))
    np.testing.assert_allclose(quiet[0], reference(TOKENS[0], predictor), rtol=1e-5, atol=1e-6)
    assert np.abs(loud - quiet).max() > 1e-3
    for a, b in zip(before, predictor.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(quiet, call(predictor, TOKENS))


def test_noise_follows_the_seed_and_is_new_each_time(call):
    first, second, other = noisy(3), noisy(3), noisy(4)
    draws = [np.asarray(call(first, TOKENS, training=True)) for _ in range(2)]
    again = [np.asarray(call(second, TOKENS, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(draws, again)
    assert np.abs(draws[0] - draws[1]).max() > 1e-3
    assert np.abs(draws[0] - np.asarray(call(other, TOKENS, training=True))).max() > 1e-3


def test_noise_has_zero_mean_and_the_given_deviation(monkeypatch):
    """Of the weights that the embedding and the LSTM see in a call."""
    predictor = noisy(deviation=0.1)
    predictor(TOKENS)
    weights = predictor.trainable_variables
    before = predictor.get_weights()
    noise = []

    def spy(layer):
        call = layer.call

        seen = [i for i, w in enumerate(weights) if w.path.startswith(layer.path)]

        def record(*args, **arguments):
            noise.extend((np.asarray(weights[i].value) - before[i]).ravel() for i in seen)
            return call(*args, **arguments)

        monkeypatch.setattr(layer, "call", record)

    spy(predictor.embedding)
    spy(predictor.lstms[0])
    for _ in range(20):
        predictor(TOKENS, training=True)
    noise = np.concatenate(noise)
    assert noise.size == 20 * sum(w.size for w in before)
    assert abs(noise.mean()) < 5 * 0.1 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(0.1, rel=0.05)


def test_gradient_of_a_noisy_call_reaches_every_weight():
    predictor = noisy()
    tokens = keras.Input((4,), dtype="int32")
    model = keras.Model(tokens, predictor(tokens))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    before = predictor.get_weights()
    model.fit(TOKENS, np.ones((2, 5, 5)), verbose=0)
    for a, b in zip(before, predictor.get_weights(), strict=True):
        assert np.abs(a - b).max() > 1e-4


@pytest.mark.parametrize("frozen", ["all", "embedding"])
def test_noise_spares_frozen_weights_in_fit(frozen):
    predictor = noisy()
    (predictor if frozen == "all" else predictor.embedding).trainable = False
    tokens = keras.Input((4,), dtype="int32")
    model = keras.Model(tokens, keras.layers.Dense(5)(predictor(tokens)))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    before = predictor.embedding.get_weights()[0]
    model.fit(TOKENS, np.ones((2, 5, 5)), verbose=0)
    np.testing.assert_array_equal(before, predictor.embedding.get_weights()[0])


@pytest.mark.parametrize("deviation", [0.0, 1e-6])
def test_dropout_acts_in_training_with_and_without_noise(deviation, call):
    predictor = noisy(deviation=deviation, dropout=0.5)
    quiet = np.asarray(call(predictor, TOKENS))
    draws = [np.asarray(call(predictor, TOKENS, training=True)) for _ in range(2)]
    assert np.abs(draws[0] - quiet).max() > 1e-2
    assert np.abs(draws[0] - draws[1]).max() > 1e-2


def test_config_and_keras_file_round_trip(tmp_path):
    predictor = noisy(blank_id=2, dropout=0.25)
    config = predictor.get_config()
    assert kc.Predictor.from_config(config).get_config() == config
    tokens = keras.Input((None,), dtype="int32")
    keras.Model(tokens, predictor(tokens)).save(tmp_path / "predictor.keras")
    again = keras.models.load_model(tmp_path / "predictor.keras")
    expected = np.stack([reference(row, predictor) for row in TOKENS])
    np.testing.assert_allclose(again.predict(TOKENS, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_mixed_precision(call):
    predictor = kc.Predictor(11, embedding_size=6, units=5, dtype="mixed_bfloat16")
    predictor.build()
    y = call(predictor, TOKENS)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    output, state = predictor.step(TOKENS[:, 0], predictor.initial_state(2))
    assert {keras.backend.standardize_dtype(v.dtype) for v in (output, *state)} == {"bfloat16"}
    y = np.asarray(keras.ops.cast(y, "float32"))
    np.testing.assert_allclose(y[0], reference(TOKENS[0], predictor), atol=0.02)
