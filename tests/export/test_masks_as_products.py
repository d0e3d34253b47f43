import keras
import numpy as np
import pytest

from keras_contextnet.export.layer_names import belongs_to
from keras_contextnet.export.litert_model import operators, read_model, write_model
from keras_contextnet.export.masks_as_products import turn_masks_into_products

pytestmark = pytest.mark.tensorflow_only


class LogEnergies(keras.layers.Layer):
    """A front end that leaves minus infinity in padding: 400 samples are a frame of 80 bands."""

    def call(self, inputs, mask=None):
        frames = keras.ops.shape(inputs)[1] // 400
        bands = keras.ops.reshape(inputs[:, : frames * 400], (-1, frames, 80, 5))
        return keras.ops.log(keras.ops.mean(keras.ops.square(bands), axis=-1))

    def compute_mask(self, inputs, mask=None):
        return mask[:, ::400][:, : keras.ops.shape(inputs)[1] // 400]


def selections(model, encoder):
    """The selected tensors' channels within the encoder, and how many there are elsewhere."""
    channels, elsewhere = [], 0
    for graph, operator, name in operators(model):
        output = graph.tensors[operator.outputs[0]]
        if name == "SELECT_V2" and belongs_to(encoder, output.name.decode()):
            channels.append(output.shape[-1])
        elsewhere += name == "SELECT_V2" and not belongs_to(encoder, output.name.decode())
    return channels, elsewhere


def test_gives_what_selections_give(encoder_case, run, padded_noise):
    model, content = encoder_case
    rewritten = read_model(content)
    turn_masks_into_products(rewritten, model.encoder.name)
    before = run(content, "encode", padded_noise)
    after = run(write_model(rewritten), "encode", padded_noise)
    np.testing.assert_array_equal(after["frame_length"], before["frame_length"])
    np.testing.assert_allclose(after["frames"], before["frames"], rtol=1e-6, atol=1e-6)


def test_the_encoder_selects_its_features_alone(encoder_case):
    model, content = encoder_case
    rewritten = read_model(content)
    before, elsewhere = selections(rewritten, model.encoder.name)
    turn_masks_into_products(rewritten, model.encoder.name)
    after, elsewhere_after = selections(rewritten, model.encoder.name)
    assert len(after) < len(before)
    assert set(after) == {model.encoder.num_features}
    assert elsewhere_after == elsewhere


def test_padding_may_hold_anything(convert_encode, with_encoder, run):
    """Such as the logarithm of silence."""
    model = with_encoder(frontend=LogEnergies(name="frontend"))
    rewritten = read_model(convert_encode(model))
    turn_masks_into_products(rewritten, "encoder")
    audio = np.random.default_rng(1).normal(scale=0.1, size=(2, 8000)).astype("float32")
    audio[1, 4000:] = 0
    inputs = {"audio": audio, "audio_length": np.array([8000, 4000], "int32")}
    outputs = run(write_model(rewritten), "encode", inputs)
    for row, length in enumerate(outputs["frame_length"]):
        assert np.isfinite(outputs["frames"][row, :length]).all()


def test_a_mask_is_made_float_once(converted):
    casts = [
        (id(graph), operator.inputs[0])
        for graph, operator, name in operators(converted)
        if name == "CAST" and graph.tensors[operator.outputs[0]].name.endswith(b"/weights")
    ]
    assert casts
    assert len(set(casts)) == len(casts)


@pytest.mark.parametrize("otherwise", [1.0, float("nan")])
def test_a_selection_of_something_else_than_zero_stays(run, otherwise):
    import tensorflow as tf

    def select(x):
        with tf.name_scope("encoder"):
            return {"y": tf.where(x > 0, x, otherwise)}

    module = tf.Module()
    module.select = tf.function(select, input_signature=[tf.TensorSpec((None,), name="x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.select.get_concrete_function()], module
    )
    model = read_model(converter.convert())
    turn_masks_into_products(model, "encoder")
    x = np.array([-1, 2], "float32")
    outputs = run(write_model(model), "serving_default", {"x": x})
    np.testing.assert_array_equal(outputs["y"], np.where(x > 0, x, np.float32(otherwise)))
