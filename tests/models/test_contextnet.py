"""The model's calls, its loss, and the errors that name what does not fit."""

import warnings

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.decoding import beam_decode, greedy_decode
from keras_contextnet.losses import RNNTLoss, rnnt_loss


@pytest.fixture(scope="module")
def model(make_contextnet):
    return make_contextnet()


def predict(model, x):
    """On numpy arrays, compiled as `predict` compiles."""
    return model.predict_on_batch(x)


def test_audio_and_its_features_give_the_same(model, batch):
    x, _ = batch
    from_audio = predict(model, x)
    mask = np.arange(4000) < x["audio_length"][:, None]
    features = np.asarray(model.frontend(x["audio"], mask=mask))
    from_features = predict(model, {"features": features, "features_length": np.array([25, 16])})
    assert from_audio["frame_length"].tolist() == [7, 4]
    assert from_audio["encoder_output"].shape == (2, 7, 16)
    assert from_audio["tokens"].shape == (2, 7 * 3)
    for name, value in from_audio.items():
        np.testing.assert_allclose(from_features[name], value, atol=1e-5, err_msg=name)


def test_bare_arrays_have_no_padding(make_contextnet, model, batch):
    x, _ = batch
    x["audio_length"][:] = 4000
    expected = predict(model, x)
    bare = predict(model, x["audio"])
    # Keras's `predict` takes inputs of one rank, so that these need a model of their own.
    features = predict(make_contextnet(), np.asarray(model.frontend(x["audio"])))
    for name, value in expected.items():
        np.testing.assert_allclose(bare[name], value, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(features[name], value, atol=1e-5, err_msg=name)


def test_tokens_are_the_greedy_decoder_s(model, batch):
    outputs = predict(model, batch[0])
    tokens, count, frame = greedy_decode(
        outputs["encoder_output"], outputs["frame_length"], model.predictor, model.joiner, 3
    )
    np.testing.assert_array_equal(outputs["tokens"], tokens)
    np.testing.assert_array_equal(outputs["token_length"], count)
    np.testing.assert_array_equal(outputs["token_frame"], frame)
    assert (outputs["token_length"] > 0).any()


def test_training_call_has_no_tokens_and_augments(make_contextnet, batch):
    """A mask over all bands leaves the encoder nothing to tell utterances apart by."""
    augmenter = kc.layers.SpecAugment(frequency_masks=0, time_masks=60, time_ratio=1.0, seed=1)
    model = make_contextnet(augmenter=augmenter)
    features = np.random.default_rng(0).normal(size=(1, 16, 80)).astype("float32")
    trained = model(features, training=True)
    assert set(trained) == {"encoder_output", "frame_length"}
    silent = model(np.zeros_like(features), training=True)
    np.testing.assert_allclose(trained["encoder_output"], silent["encoder_output"], atol=1e-5)
    heard = predict(model, features)["encoder_output"]
    assert np.abs(heard - predict(model, np.zeros_like(features))["encoder_output"]).max() > 0.01


def test_augmenters_in_a_row_all_get_the_mask(make_contextnet, batch, tmp_path):
    """Masks in time are laid within an utterance: those of a short one leave what follows it."""
    masks = kc.layers.SpecAugment(0, 0, time_masks=60, time_ratio=1.0, mask_value=9.0, seed=1)
    augmenter = keras.Sequential([kc.layers.VocalTractPerturbation(), masks])
    model = make_contextnet(augmenter=augmenter)
    x, _ = batch
    features, mask = model.extract_features(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(x, training=True)
        heard = np.asarray(model.augmenter(features, mask=mask, training=True))
    masked = (heard == 9.0).all(axis=2)
    mask = np.asarray(mask)
    assert masked[mask].all()
    assert not masked[~mask].any()

    model.save_to_preset(tmp_path / "preset")
    again = kc.ContextNet.from_preset(tmp_path / "preset")
    for layer, expected in zip(again.augmenter.layers, augmenter.layers, strict=True):
        assert layer.get_config() == expected.get_config()
    again({"features": features[:1, :12]}, training=True)  # another size


def test_model_s_parts_are_keras_layers_and_weights_exist_from_the_start(make_contextnet):
    model = make_contextnet()
    parts = sum(len(part.weights) for part in (model.encoder, model.predictor, model.joiner))
    assert len(model.weights) == parts > 0
    assert model.blank_id == 28
    assert kc.ContextNet.presets.keys() == {"small", "medium", "large", "small_en"}


@pytest.mark.parametrize("fastemit_lambda", [0.0, 0.5])
def test_loss_is_rnnt_loss_of_the_lattice(fastemit_lambda, make_contextnet, quickly, batch):
    model = make_contextnet()
    x, y = batch
    loss = RNNTLoss(model.blank_id, fastemit_lambda=fastemit_lambda) if fastemit_lambda else None
    model.compile(loss=loss, **quickly)
    outputs = predict(model, x)
    logits = model.lattice(outputs["encoder_output"], y["tokens"])
    assert logits.shape == (2, 7, 4, 29)
    costs = rnnt_loss(
        y["tokens"],
        logits,
        y["token_length"],
        outputs["frame_length"],
        blank_id=28,
        fastemit_lambda=fastemit_lambda,
    )
    expected = float(np.mean(np.asarray(costs)))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_padding_of_targets_costs_nothing(make_contextnet, quickly, batch):
    model = make_contextnet()
    model.compile(**quickly)
    x, y = batch
    expected = model.evaluate(x, y, verbose=0)
    y["tokens"] = np.concatenate([y["tokens"], [[5, 6], [7, 8]]], axis=1)
    y["tokens"][1, 1:] = 11
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_l2_and_regularizers_are_in_the_loss(make_contextnet, quickly, batch):
    x, y = batch
    losses, squares = {}, {}
    for l2 in (0.0, 1e-2):
        model = make_contextnet(l2=l2)
        model.compile(**quickly)
        losses[l2] = model.evaluate(x, y, verbose=0)
        squares[l2] = sum(float((w**2).sum()) for w in map(np.asarray, model.trainable_weights))
    assert losses[1e-2] - losses[0.0] == pytest.approx(1e-2 * squares[0.0], rel=1e-4)

    encoder = make_contextnet().encoder
    encoder = type(encoder).from_config(
        {**encoder.get_config(), "kernel_regularizer": keras.regularizers.L2(0.1)}
    )
    model = make_contextnet(encoder=encoder)
    kernels = [w for w in encoder.trainable_weights if w.regularizer is not None]
    expected = 0.1 * sum(float((np.asarray(w) ** 2).sum()) for w in kernels)
    assert float(sum(map(float, model.losses))) == pytest.approx(expected, rel=1e-5)
    model.compile(**quickly)
    outputs = predict(model, x)
    costs = RNNTLoss(28)(
        y,
        {
            "logits": model.lattice(outputs["encoder_output"], y["tokens"]),
            "frame_length": outputs["frame_length"],
        },
    )
    assert model.evaluate(x, y, verbose=0) == pytest.approx(float(costs) + expected, rel=1e-4)


def test_sample_weights_weigh_utterances(make_contextnet, quickly, batch):
    model = make_contextnet()
    model.compile(**quickly)
    x, y = batch
    each = [
        model.evaluate(
            {name: v[i : i + 1] for name, v in x.items()},
            {name: v[i : i + 1] for name, v in y.items()},
            verbose=0,
        )
        for i in range(2)
    ]
    weighted = model.evaluate(x, y, sample_weight=np.array([1.0, 3.0]), verbose=0)
    assert weighted == pytest.approx((each[0] + 3 * each[1]) / 2, rel=1e-4)


def part(name, **arguments):
    makers = {"predictor": kc.Predictor, "joiner": kc.Joiner}
    return makers[name](30, units=4, **arguments)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"joiner": lambda: part("joiner")}, r"same vocabulary_size.*Received: 29 and 30"),
        (
            {"frontend": lambda: kc.layers.LogMelSpectrogram(num_bands=40)},
            r"`frontend` of 80 bands.*Received: num_bands=40",
        ),
        (
            {"tokenizer": lambda: kc.text.CharacterTokenizer("abc")},
            r"`tokenizer` of 28 pieces.*Received: a tokenizer of 3\..*vocabulary_size=4",
        ),
    ],
)
def test_parts_that_do_not_fit_are_an_error(overrides, message, make_contextnet):
    with pytest.raises(ValueError, match=message):
        make_contextnet(**{name: make() for name, make in overrides.items()})


def test_wrong_inputs_and_targets_are_an_error(make_contextnet, quickly, batch):
    x, y = batch
    with pytest.raises(ValueError, match=r'a key "audio" or "features".*\[\'sound\'\]'):
        make_contextnet()({"sound": x["audio"]})
    for targets, received in ((None, "NoneType"), ({"tokens": y["tokens"]}, r"\['tokens'\]")):
        model = make_contextnet()  # under JAX a fit that fails takes the weights with it
        model.compile(**quickly)
        with pytest.raises(ValueError, match=f"Expected targets `y`.*Received: {received}"):
            model.fit(x, targets, verbose=0)


@pytest.mark.parametrize("beam_width", [0, 2.5, None])
def test_beams_have_a_width(make_contextnet, beam_width):
    with pytest.raises(ValueError, match=f"`beam_width` to be 1 or more. Received: {beam_width}"):
        make_contextnet(beam_width=beam_width)


def test_a_beam_decodes_in_place_of_the_greedy_search(make_contextnet, batch):
    outputs = predict(make_contextnet(beam_width=3), batch[0])
    model = make_contextnet()
    tokens, count, frame = beam_decode(
        outputs["encoder_output"],
        outputs["frame_length"],
        model.predictor,
        model.joiner,
        beam_width=3,
        max_symbols_per_frame=model.max_symbols_per_frame,
    )
    np.testing.assert_array_equal(outputs["tokens"], tokens)
    np.testing.assert_array_equal(outputs["token_length"], count)
    np.testing.assert_array_equal(outputs["token_frame"], frame)
    assert not np.array_equal(outputs["tokens"], predict(model, batch[0])["tokens"])


def test_config_round_trip(make_contextnet, batch):
    model = make_contextnet(
        augmenter=kc.layers.SpecAugment(time_masks=1, seed=4),
        l2=1e-3,
        max_symbols_per_frame=2,
        beam_width=2,
    )
    config = keras.saving.serialize_keras_object(model)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    assert again.tokenizer.pieces == model.tokenizer.pieces
    again.set_weights(model.get_weights())
    expected = predict(model, batch[0])
    for name, value in predict(again, batch[0]).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)
