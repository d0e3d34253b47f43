import re
from types import SimpleNamespace

import pytest

from keras_contextnet.export.layer_names import belongs_to, find_layers, pattern_of


@pytest.mark.parametrize(
    ("layer", "tensor"),
    [
        ("encoder", "encoder/mul"),
        ("encoder", "encoder"),
        ("encoder", "context_net_1/encoder_12/block_3_1/mul"),
        ("encoder", "frontend_1/mul;encoder_1/block_0_1/mul"),
        ("encoder/block_3", "encoder_1/block_3_1/conv_0_1/mul"),
        ("block_3/conv_0", "encoder_1/block_3_1/conv_0_1/mul"),
        ("block_1", "encoder/block_1;encoder/block_2"),
        ("a.b-c", "model/a.b-c_1/mul"),
    ],
)
def test_a_tensor_of_the_layer_belongs_to_it(layer, tensor):
    assert belongs_to(layer, tensor)


@pytest.mark.parametrize(
    ("layer", "tensor"),
    [
        ("encoder", "encoder_projection/mul"),
        ("encoder", "my_encoder/mul"),
        ("encoder", "encoders/mul"),
        ("front", "frontend_1/mul"),
        ("block_1", "encoder/block_10/mul"),
        ("block_10", "encoder/block_1/mul"),
        ("encoder/block_3", "encoder/block_2/block_3/mul"),
        ("encoder/block_3", "encoder/mul;block_3/mul"),
        ("a.b", "model/axb/mul"),
        ("conv_0", ""),
    ],
)
def test_a_tensor_of_another_layer_does_not(layer, tensor):
    assert not belongs_to(layer, tensor)


def test_the_pattern_is_found_behind_any_beginning():
    """As ai-edge-quantizer, which matches from the start, is given it."""
    assert re.match(f".*{pattern_of('encoder/block_3')}", "net/encoder_1/block_3/mul;")


@pytest.fixture(scope="module")
def named_parts():
    """What is read of a model: the names of its parts."""
    return SimpleNamespace(
        joiner=SimpleNamespace(name="joiner"), predictor=SimpleNamespace(name="predictor")
    )


TENSORS = [
    "net_1/frontend_1/mul",
    "net_1/encoder_1/block_0_1/conv_0_1/mul",
    "net_1/embedding_1/Gather",
    "net_1/while/cond/lstm_cell_1/MatMul",
    "net_1/encoder_projection_1/MatMul",
    "net_1/predictor_projection_1/MatMul",
    "net_1/while/output_projection_1/MatMul",
]


@pytest.mark.parametrize(
    ("layers", "paths"),
    [
        ((), []),
        ("block_0", ["block_0"]),
        (["encoder/block_0/conv_0", "frontend"], ["encoder/block_0/conv_0", "frontend"]),
        (["joiner/output_projection"], ["output_projection"]),
        ("joiner", ["encoder_projection", "predictor_projection", "output_projection"]),
        ("predictor", ["embedding", "lstm_cell"]),
        ("predictor/embedding", ["embedding"]),
    ],
)
def test_layers_go_by_the_names_of_the_graph(named_parts, layers, paths):
    assert find_layers(named_parts, layers, TENSORS) == paths


@pytest.mark.parametrize("layer", ["block_1", "encoder/conv_0", "joiner/dense", "", "encoder/"])
def test_a_layer_that_is_none_is_named(named_parts, layer):
    with pytest.raises(ValueError, match=rf"Received: '{layer}', which is none"):
        find_layers(named_parts, ["block_0", layer], TENSORS)


@pytest.mark.tensorflow_only
def test_an_export_names_the_layer(convert_once, converted_model, tmp_path):
    with pytest.raises(ValueError, match="'block_7', which is none"):
        converted_model.export(
            tmp_path / "asr.tflite", format="litert", quantization="float16", keep_float=["block_7"]
        )
    assert not any(tmp_path.iterdir())
