"""ContextNetCTC: calls, training, text, files and presets, and the way on to a ContextNet."""

import json
import warnings

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.decoding import ctc_greedy_decode
from keras_contextnet.losses import CTCLoss
from keras_contextnet.metrics import CharacterErrorRate, WordErrorRate

BLOCKS = [
    {"filters": 8, "num_convs": 1, "strides": 2, "residual": False},
    {"filters": 16, "num_convs": 1, "strides": 2},
]


@pytest.fixture
def make_ctc():
    """Makes small models; the blank's bias makes it win about every other frame."""

    def make_ctc(seed=7, **overrides):
        keras.utils.set_random_seed(seed)
        parts = {
            "encoder": kc.ContextNetEncoder(blocks=BLOCKS, name="encoder"),
            "ctc_head": kc.CTCHead(29, name="ctc_head"),
            "tokenizer": kc.text.CharacterTokenizer(),
        }
        model = kc.ContextNetCTC(**{**parts, **overrides})
        kernel, bias = model.ctc_head.get_weights()
        bias[28] = 0.2
        model.ctc_head.set_weights([8 * kernel, bias])
        return model

    return make_ctc


def test_a_call_gives_logits_and_their_greedy_transcript(make_ctc, batch, call):
    model = make_ctc()
    outputs = model.predict_on_batch(batch[0])
    assert outputs["logits"].shape == (2, 7, 29)
    assert outputs["frame_length"].tolist() == [7, 4]
    decoded = ctc_greedy_decode(outputs["logits"], outputs["frame_length"], 28)
    for name, value in zip(("tokens", "token_length", "token_frame"), decoded, strict=True):
        np.testing.assert_array_equal(outputs[name], value, err_msg=name)
    assert outputs["token_length"].min() > 0
    assert set(call(model, batch[0], training=True)) == {"encoder_output", "frame_length", "logits"}


def test_an_utterance_gives_the_same_alone(make_ctc, batch):
    model = make_ctc()
    outputs = model.predict_on_batch(batch[0])
    alone = model.predict_on_batch(batch[0]["audio"][1:, :2500])
    np.testing.assert_allclose(alone["logits"][0], outputs["logits"][1, :4], atol=1e-4)
    count = alone["token_length"][0]
    assert count == outputs["token_length"][1]
    np.testing.assert_array_equal(alone["tokens"][0, :count], outputs["tokens"][1, :count])


def test_evaluation_is_the_ctc_loss_and_error_rates(make_ctc, quickly, batch):
    x, y = batch
    model = make_ctc()
    metrics = [WordErrorRate(model.tokenizer), CharacterErrorRate(model.tokenizer)]
    model.compile(metrics=metrics, **quickly)
    results = model.evaluate(x, y, return_dict=True, verbose=0)
    outputs = model.predict_on_batch(x)
    assert results["loss"] == pytest.approx(float(CTCLoss(28)(y, outputs)), rel=1e-5)
    rate = CharacterErrorRate()
    rate.update_state(
        [model.tokenizer.decode(t[:n]) for t, n in zip(*y.values(), strict=True)],
        [
            model.tokenizer.decode(t[:n].tolist())
            for t, n in zip(outputs["tokens"], outputs["token_length"], strict=True)
        ],
    )
    assert results["cer"] == pytest.approx(float(rate.result()), rel=1e-5)


@pytest.mark.parametrize("loss", [None, CTCLoss(blank_id=-1)])
def test_fit_trains_every_weight(loss, make_ctc, quickly, batch):
    model = make_ctc(l2=1e-6)
    metrics = [WordErrorRate(model.tokenizer)]
    arguments = quickly if loss else {}  # once as users run it
    model.compile(keras.optimizers.Adam(1e-3), loss=loss, metrics=metrics, **arguments)
    before = [np.array(weight) for weight in model.trainable_weights]
    history = model.fit(*batch, validation_data=batch, epochs=3, verbose=0).history
    assert set(history) >= {"loss", "val_loss", "val_wer"}
    assert history["loss"][-1] < history["loss"][0]
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(np.array(weight) - old).max() > 0, weight.path


def test_learns_to_transcribe(make_ctc, examples):
    """Real speech, and a text that it can only have learnt."""
    from keras_contextnet.data import load_audio

    waveform = load_audio(min(examples, key=lambda e: e["duration"])["audio"])
    model = make_ctc()
    tokens = model.tokenizer.encode("seen and heard")
    y = {"tokens": np.array([tokens]), "token_length": np.array([len(tokens)])}
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(waveform[None], y, epochs=80, verbose=0)
    assert model.transcribe(waveform) == "seen and heard"


def test_keras_file_keeps_weights_and_training(make_ctc, quickly, batch, tmp_path):
    model = make_ctc(l2=1e-4)
    model.compile(keras.optimizers.Adam(1e-3), **quickly)
    model.fit(*batch, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is kc.ContextNetCTC
    assert (again.l2, int(again.optimizer.iterations)) == (1e-4, 1)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    config, config_again = (
        json.loads(json.dumps(keras.saving.serialize_keras_object(m))) for m in (model, again)
    )
    assert config_again == config


def test_preset_round_trip(make_ctc, batch, tmp_path):
    model = make_ctc(augmenter=kc.layers.SpecAugment(time_masks=1), l2=1e-3)
    model.save_to_preset(tmp_path / "preset")
    again = kc.ContextNetCTC.from_preset(tmp_path / "preset", l2=0.5)
    assert type(again) is kc.ContextNetCTC
    assert (again.l2, again.augmenter.time_masks) == (0.5, 1)
    assert again.tokenizer.pieces == model.tokenizer.pieces
    expected = model.predict_on_batch(batch[0])
    for name, value in again.predict_on_batch(batch[0]).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_preset_of_the_other_class_is_named(make_ctc, make_contextnet, tmp_path):
    make_ctc().save_to_preset(tmp_path / "ctc")
    make_contextnet().save_to_preset(tmp_path / "transducer")
    with pytest.raises(
        ValueError, match=r"preset of ContextNet\. Received: .*ctc, a preset of ContextNetCTC\."
    ):
        kc.ContextNet.from_preset(tmp_path / "ctc")
    with pytest.raises(ValueError, match=r"transducer, a preset of ContextNet\. .*\.from_preset"):
        kc.ContextNetCTC.from_preset(tmp_path / "transducer", ctc_head=kc.CTCHead(29))


def test_a_subclass_reads_its_base_s_presets(make_ctc, tmp_path):
    class Mine(kc.ContextNetCTC):
        pass

    make_ctc().save_to_preset(tmp_path / "ctc")
    assert isinstance(Mine.from_preset(tmp_path / "ctc"), kc.ContextNetCTC)


def test_paper_preset():
    with pytest.warns(UserWarning, match="'small' has no trained weights") as caught:
        model = kc.ContextNetCTC.from_preset("small")
    assert caught[0].filename == __file__
    assert (model.blank_id, model.tokenizer.vocabulary_size) == (1023, 1023)
    assert isinstance(model.augmenter, kc.layers.SpecAugment)
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert f"{trainable / 1e6:.1f} M" in kc.ContextNetCTC.presets["small"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = kc.ContextNetCTC.from_preset(
            "small",
            load_weights=False,
            encoder=kc.ContextNetEncoder(blocks=BLOCKS),
            tokenizer=kc.text.CharacterTokenizer("abc"),
            dtype="bfloat16",
        )
    assert model.ctc_head.vocabulary_size == 4
    assert model.ctc_head.dtype_policy.name == "bfloat16"


def test_a_transducer_goes_on_from_it(make_ctc, make_contextnet, quickly, batch):
    ctc = make_ctc()
    before = ctc.encoder.get_weights(), ctc.ctc_head.get_weights()
    model = make_contextnet(encoder=ctc.encoder, ctc_head=ctc.ctc_head, frontend=ctc.frontend)
    model.compile(keras.optimizers.Adam(1e-3), **quickly)
    model.fit(*batch, verbose=0)
    for old, part in zip(before, (ctc.encoder, ctc.ctc_head), strict=True):
        change = np.abs(part.get_weights()[0] - old[0]).max()
        assert 0 < change < 2e-3  # the same weights, one step of Adam further


def test_what_does_not_fit_is_named(make_ctc, quickly, batch):
    with pytest.raises(ValueError, match=r"`tokenizer` of 28 pieces.*ctc_head.*vocabulary_size=4"):
        make_ctc(tokenizer=kc.text.CharacterTokenizer("abc"))
    with pytest.raises(ValueError, match=r"`frontend` of 80 bands.*num_bands=40"):
        make_ctc(frontend=kc.layers.LogMelSpectrogram(num_bands=40))
    model = make_ctc()
    model.compile(**quickly)
    with pytest.raises(ValueError, match=r"Expected targets `y`.*\['tokens'\]"):
        model.fit(batch[0], {"tokens": batch[1]["tokens"]}, verbose=0)
