import numpy as np
import pytest
from keras import ops

from keras_contextnet.data import AudioError, load_audio
from keras_contextnet.losses import rnnt_alignment


@pytest.fixture(scope="module")
def model(make_contextnet):
    return make_contextnet()


@pytest.fixture(scope="module")
def example(examples):
    return min(examples, key=lambda example: example["audio"].stat().st_size)


def test_times_are_those_of_the_whole_lattice(model, example):
    alignment = model.align(example["audio"], "a cat")
    assert alignment.pieces == [model.tokenizer.pieces[i] for i in model.tokenizer.encode("a cat")]

    waveform = load_audio(example["audio"])
    tokens = np.array([model.tokenizer.encode("a cat")])
    encoder_output = model.predict_on_batch(waveform[None])["encoder_output"]
    logits = model.lattice(encoder_output, tokens)
    frames, score = rnnt_alignment(
        tokens, logits, [tokens.shape[1]], [encoder_output.shape[1]], blank_id=model.blank_id
    )
    # A hop of 10 ms, and an encoder that halves the frames twice.
    expected = 0.04 * ops.convert_to_numpy(frames)[0]
    np.testing.assert_allclose(alignment.seconds, expected, atol=1e-6)
    assert alignment.log_prob == pytest.approx(float(score[0]), rel=1e-4)
    assert 0 <= min(alignment.seconds)
    assert max(alignment.seconds) <= len(waveform) / 16000
    assert alignment.seconds == sorted(alignment.seconds)


def test_a_waveform_is_aligned_as_its_file(model, example):
    from_file = model.align(str(example["audio"]), "a cat")
    assert model.align(load_audio(example["audio"]), "a cat") == from_file


def test_no_text_takes_no_piece(model, example):
    alignment = model.align(example["audio"], "")
    assert alignment.pieces == alignment.seconds == []
    assert np.isfinite(alignment.log_prob)


def test_wrong_arguments_are_named(model, make_contextnet, tmp_path):
    with pytest.raises(ValueError, match="a model with a tokenizer"):
        make_contextnet(tokenizer=None).align(np.zeros(4000, "float32"), "a")
    with pytest.raises(AudioError, match="Expected audio of at least"):
        model.align(np.zeros(10, "float32"), "a")
