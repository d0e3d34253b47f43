import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.export.litert_model import operators, read_model
from keras_contextnet.export.signatures import (
    SIGNATURES,
    make_merged_signatures,
    make_signatures,
    state_size,
)

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def signatures(tiny_model):
    return make_signatures(tiny_model)


@pytest.mark.parametrize("key", SIGNATURES)
def test_takes_and_gives_what_is_documented(signatures, key):
    concrete = signatures[key].get_concrete_function()
    described = SIGNATURES[key]
    assert [spec.name for spec in signatures[key].input_signature] == list(described["inputs"])
    assert set(concrete.structured_outputs) == set(described["outputs"])
    for name, spec in concrete.structured_outputs.items():
        kind, shape = described["outputs"][name].split(":")[0].split(" ", 1)
        assert spec.dtype.name == kind
        assert len(spec.shape) == len(shape.strip("()").rstrip(",").split(","))


def test_merged_signatures_trace_the_encoder_once(tiny_model):
    merged = make_merged_signatures(tiny_model)
    assert list(merged) == ["transcribe", "predict", "join"]
    outputs = merged["transcribe"].get_concrete_function().structured_outputs
    assert set(outputs) == {
        *SIGNATURES["transcribe"]["outputs"],
        *SIGNATURES["encode"]["outputs"],
    }


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161])
def test_audio_shorter_than_a_hop_has_a_frame_of_padding(signatures, samples):
    import tensorflow as tf

    audio = tf.zeros((2, samples))
    outputs = signatures["encode"](audio, tf.constant([samples, 0]))
    assert outputs["frames"].shape[1] >= 1
    assert outputs["frame_length"].numpy().tolist() == [min(samples, 1), 0]
    assert np.isfinite(outputs["frames"]).all()


def test_tokens_end_where_their_length_says(signatures, padded_noise):
    import tensorflow as tf

    inputs = {name: tf.constant(value) for name, value in padded_noise.items()}
    outputs = {k: v.numpy() for k, v in signatures["transcribe"](**inputs).items()}
    assert outputs["token_length"].min() < outputs["token_length"].max()
    for row, length in enumerate(outputs["token_length"]):
        for name in ("tokens", "token_frame"):
            assert (outputs[name][row, :length] >= 0).all()
            assert (outputs[name][row, length:] == -1).all()
        assert (np.diff(outputs["token_frame"][row, :length]) >= 0).all()


def test_steps_of_a_deep_predictor_give_its_lattice(another_model):
    """Token by token, with the state of two layers in one vector."""
    import tensorflow as tf

    predictor = kc.Predictor(29, embedding_size=8, units=12, num_layers=2)
    model = another_model(predictor=predictor)
    assert state_size(model) == 48
    signatures = make_signatures(model)
    random = np.random.default_rng(0)
    tokens = random.integers(0, 28, (2, 5)).astype("int32")
    frames = random.normal(size=(2, 1, 24)).astype("float32")
    frame = model.joiner.encoder_projection(frames)[:, 0]
    lattice = np.asarray(model.lattice(frames, tokens))[:, 0]  # (batch, U + 1, vocabulary)

    state = tf.zeros((2, 48))
    for step, token in enumerate([np.full(2, model.blank_id, "int32"), *tokens.T]):
        read = signatures["predict"](tf.constant(token), state)
        logits = signatures["join"](frame, read["prediction"])["logits"]
        np.testing.assert_allclose(logits, lattice[:, step], rtol=1e-4, atol=1e-4)
        state = read["next_state"]


def test_graphs_name_no_gradients(signatures):
    for key in SIGNATURES:
        graph = signatures[key].get_concrete_function().graph
        for operation in graph.get_operations():
            assert "_gradient_op_type" not in operation.node_def.attr


def test_the_encoder_is_converted_once_for_both(converted_content):
    names = [name for _, _, name in operators(read_model(converted_content))]
    assert names.count("RFFT2D") == 1
    assert names.count("WHILE") == 1


def test_the_same_model_gives_the_same_bytes(tiny_model, litert_file, tmp_path):
    """Though TensorFlow numbers functions on through a process."""
    tiny_model.export(tmp_path / "again.tflite", format="litert")
    assert (tmp_path / "again.tflite").read_bytes() == litert_file.read_bytes()


@pytest.mark.parametrize("name", ["frontend", "frontend_1"])
def test_parts_of_one_name_are_refused(with_encoder, tmp_path, name):
    with pytest.raises(ValueError, match=f"different names.*Received: '{name}' and 'frontend'"):
        with_encoder(name=name).export(tmp_path / "asr.tflite", format="litert")
    assert not any(tmp_path.iterdir())
