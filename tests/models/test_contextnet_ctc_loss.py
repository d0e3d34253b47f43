"""A ContextNet with a CTC head: what the head adds to training, and takes from nothing else."""

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.losses import CTCLoss, RNNTLoss


def with_head(make_contextnet, **arguments):
    return make_contextnet(ctc_head=kc.CTCHead(29, name="ctc_head"), **arguments)


def ctc_loss_of(model, x, y):
    outputs = model.predict_on_batch(x)
    logits = model.ctc_head(outputs["encoder_output"])
    frames = {"logits": logits, "frame_length": outputs["frame_length"]}
    return float(CTCLoss(28)(y, frames))


def test_evaluation_adds_the_weighted_ctc_loss(make_contextnet, quickly, batch):
    x, y = batch
    model = with_head(make_contextnet, ctc_weight=0.3)
    model.compile(**quickly)
    plain = make_contextnet()
    plain.compile(**quickly)
    expected = plain.evaluate(x, y, verbose=0) + 0.3 * ctc_loss_of(model, x, y)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_inference_is_that_of_the_model_without_a_head(make_contextnet, batch):
    expected = make_contextnet().predict_on_batch(batch[0])
    outputs = with_head(make_contextnet).predict_on_batch(batch[0])
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(outputs[name], value, err_msg=name)


@pytest.mark.parametrize(
    "jit_compile",
    [pytest.param(False, marks=pytest.mark.tensorflow_only), True],
)
def test_fit_trains_head_and_encoder(jit_compile, make_contextnet, batch):
    model = with_head(make_contextnet)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
    head, before = model.ctc_head.get_weights(), ctc_loss_of(model, *batch)
    history = model.fit(*batch, epochs=5, verbose=0).history
    assert list(history) == ["loss"]
    assert history["loss"][-1] < history["loss"][0]
    assert ctc_loss_of(model, *batch) < before
    assert np.abs(model.ctc_head.get_weights()[0] - head[0]).max() > 1e-3


def test_the_head_s_loss_reaches_the_encoder(make_contextnet, quickly, batch):
    steps = []
    for ctc_weight in (0.0, 5.0):
        model = with_head(make_contextnet, ctc_weight=ctc_weight, l2=1e-6)
        model.compile(keras.optimizers.SGD(1e-2), **quickly)
        model.fit(*batch, verbose=0)
        steps.append(model.encoder.get_weights())
    assert max(np.abs(a - b).max() for a, b in zip(*steps, strict=True)) > 1e-3


def test_tokens_that_do_not_fit_cost_the_transducer_s_loss_alone(make_contextnet, batch):
    """Seven frames and four; ten tokens, and three that are alike."""
    x, _ = batch
    y = {
        "tokens": np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [8, 8, 8, 0, 0, 0, 0, 0, 0, 0]]),
        "token_length": np.array([10, 3]),
    }
    losses, weights = [], []
    for make in (lambda: make_contextnet(), lambda: with_head(make_contextnet)):
        model = make()
        model.compile(keras.optimizers.SGD(1e-3))
        losses.append(model.fit(x, y, verbose=0).history["loss"])
        weights.append(model.encoder.get_weights())
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(*losses, rtol=1e-6)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_reduction_and_weights_are_those_of_the_transducer_s_loss(make_contextnet, quickly, batch):
    x, y = batch
    sample_weight = np.array([1.0, 3.0])

    def evaluate(model):
        model.compile(loss=RNNTLoss(28, reduction="sum"), **quickly)
        return model.evaluate(x, y, sample_weight=sample_weight, verbose=0)

    model = with_head(make_contextnet, ctc_weight=0.5)
    outputs = model.predict_on_batch(x)
    frames = {
        "logits": model.ctc_head(outputs["encoder_output"]),
        "frame_length": outputs["frame_length"],
    }
    ctc = float(CTCLoss(28, reduction="sum")(y, frames, sample_weight))
    expected = evaluate(make_contextnet()) + 0.5 * ctc
    assert evaluate(model) == pytest.approx(expected, rel=1e-5)


def test_mixed_precision(make_contextnet, quickly, batch):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = with_head(make_contextnet)
    model.compile(keras.optimizers.Adam(1e-3), **quickly)
    losses = model.fit(*batch, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_files_and_presets_keep_the_head(make_contextnet, quickly, batch, tmp_path):
    model = with_head(make_contextnet, ctc_weight=0.7)
    model.compile(keras.optimizers.Adam(1e-3), **quickly)
    model.fit(*batch, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    for again in (
        keras.models.load_model(tmp_path / "model.keras"),
        kc.ContextNet.from_preset(tmp_path / "preset"),
    ):
        assert again.ctc_weight == 0.7
        for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    without = kc.ContextNet.from_preset(tmp_path / "preset", ctc_head=None)
    assert without.ctc_head is None
    np.testing.assert_array_equal(
        without.joiner.output_projection.kernel, model.joiner.output_projection.kernel
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ctc_head": (30,)}, r"`ctc_head` and `joiner`.*vocabulary_size.*Received: 30 and 29"),
        ({"ctc_head": (29, 0)}, r"`ctc_head` and `predictor`.*blank_id.*Received: 0 and 28"),
        ({"ctc_weight": -0.1}, r"`ctc_weight` to be 0 or more.*-0\.1"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message, make_contextnet):
    if "ctc_head" in arguments:
        arguments = {"ctc_head": kc.CTCHead(*arguments["ctc_head"])}
    with pytest.raises(ValueError, match=message):
        make_contextnet(**arguments)
