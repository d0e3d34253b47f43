import numpy as np
import pytest

from keras_contextnet.export.four_axes import run_encoder_on_four_axes
from keras_contextnet.export.layer_names import belongs_to
from keras_contextnet.export.litert_model import operators, rank, read_model, write_model
from keras_contextnet.export.masks_as_products import turn_masks_into_products

pytestmark = pytest.mark.tensorflow_only


def rewrite(content, encoder):
    model = read_model(content)
    turn_masks_into_products(model, encoder)
    run_encoder_on_four_axes(model, encoder)
    return model


def of_encoder(model, encoder="encoder"):
    """Names and output tensors of the encoder's operators."""
    return [
        (name, graph.tensors[operator.outputs[0]])
        for graph, operator, name in operators(model)
        if belongs_to(encoder, graph.tensors[operator.outputs[0]].name.decode())
    ]


def test_gives_what_three_axes_give(encoder_case, run, padded_noise):
    model, content = encoder_case
    before = run(content, "encode", padded_noise)
    after = run(write_model(rewrite(content, model.encoder.name)), "encode", padded_noise)
    np.testing.assert_array_equal(after["frame_length"], before["frame_length"])
    assert after["frames"].shape == before["frames"].shape
    np.testing.assert_allclose(after["frames"], before["frames"], rtol=1e-6, atol=1e-6)


def test_gives_what_keras_gives(encoder_case, run, padded_noise):
    model, content = encoder_case
    after = run(write_model(rewrite(content, model.encoder.name)), "encode", padded_noise)
    frames, frame_length = model.encode(padded_noise)
    expected = np.asarray(model.joiner.encoder_projection(frames))
    np.testing.assert_array_equal(after["frame_length"], frame_length)
    for row, length in enumerate(after["frame_length"]):
        largest = np.abs(expected[row, :length]).max()
        difference = np.abs(after["frames"][row, :length] - expected[row, :length]).max()
        assert difference < 1e-3 * largest


def test_an_utterance_gives_the_same_alone_and_in_a_batch(encoder_case, run, padded_noise):
    model, content = encoder_case
    if getattr(model.frontend, "depends_on_padding", False):
        pytest.skip("its front end looks at padding")
    content = write_model(rewrite(content, model.encoder.name))
    together = run(content, "encode", padded_noise)
    alone = run(content, "encode", {name: row[1:2] for name, row in padded_noise.items()})
    length = together["frame_length"][1]
    np.testing.assert_allclose(
        together["frames"][1, :length], alone["frames"][0, :length], rtol=1e-4, atol=1e-4
    )


def test_the_axis_is_added_once_and_taken_away_once(converted):
    found = [(name, tensor) for name, tensor in of_encoder(converted) if rank(tensor) > 2]
    names = [name for name, _ in found]
    assert names.count("SQUEEZE") == 1
    wide = {"FULLY_CONNECTED", "DEPTHWISE_CONV_2D", "ADD", "LOGISTIC", "PAD"}
    assert wide <= set(names)
    assert all(rank(t) == 4 and t.shape[2] == 1 for name, t in found if name in wide)
    # Of the features, which a strided residual takes a second time; of masks and counts.
    added = [tensor.shape[-1] for name, tensor in found if name == "EXPAND_DIMS"]
    assert 1 <= sum(channels > 1 for channels in added) <= 2


def test_all_but_the_encoder_stays(converted_model, convert_encode):
    content = convert_encode(converted_model)

    def elsewhere(model):
        return [
            (name, graph.tensors[operator.outputs[0]].name)
            for graph, operator, name in operators(model)
            if "encoder_1/" not in graph.tensors[operator.outputs[0]].name.decode()
        ]

    before, after = elsewhere(read_model(content)), elsewhere(rewrite(content, "encoder"))
    added = [operator for operator in after if operator not in before]
    assert [operator for operator in after if operator not in added] == before
    assert {name for name, _ in added} <= {"EXPAND_DIMS", "CAST"}  # of masks, and of features


@pytest.mark.parametrize("name", ["front", "conv_0", "Encoder.a-b_1"])
def test_an_encoder_of_any_name_is_found(with_encoder, convert_encode, run, padded_noise, name):
    model = with_encoder([{"filters": 8, "num_convs": 2, "residual": False}], name=name)
    content = convert_encode(model)
    rewritten = rewrite(content, name)
    found = [operator for operator, _ in of_encoder(rewritten, name)]
    assert found.count("SQUEEZE") == 1
    assert found.count("SELECT_V2") == 1
    np.testing.assert_allclose(
        run(write_model(rewritten), "encode", padded_noise)["frames"],
        run(content, "encode", padded_noise)["frames"],
        rtol=1e-6,
        atol=1e-6,
    )
