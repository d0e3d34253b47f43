import sys

import numpy as np
import pytest

from keras_contextnet.export.integer_encoder import quantize_encoder
from keras_contextnet.export.layer_names import belongs_to
from keras_contextnet.export.litert_model import operators, signature_graph, write_model

pytestmark = pytest.mark.tensorflow_only

FLOAT32, INT32, INT8 = 0, 2, 9  # of the schema's TensorType
KEPT = "encoder/block_0/projection"


@pytest.fixture(scope="session")
def quantizer():
    return pytest.importorskip("ai_edge_quantizer", reason="needs ai-edge-quantizer")


@pytest.fixture(scope="module")
def quantized(quantizer, converted_content, converted_model, padded_noise):
    """An encoder in integers, but for one layer."""
    from keras_contextnet.export.litert_model import read_model

    path = f"{converted_model.name}/encoder"
    return quantize_encoder(
        read_model(converted_content), path, padded_noise["audio"][:1], ["frontend", KEPT]
    )


def types(model, wanted, layer):
    """Types of the outputs of operators of a kind within a layer."""
    return [
        graph.tensors[operator.outputs[0]].type
        for graph, operator, name in operators(model)
        if name == wanted and belongs_to(layer, graph.tensors[operator.outputs[0]].name.decode())
    ]


@pytest.mark.parametrize("name", ["DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PAD", "LOGISTIC"])
def test_the_encoder_computes_in_integers(quantized, name):
    for layer in ("conv_0", "squeeze_excite_conv"):
        found = types(quantized, name, layer)
        assert found or name == "PAD"
        assert set(found) <= {INT8}


def test_weights_have_a_scale_for_each_output(quantized):
    checked = 0
    for graph, operator, name in operators(quantized):
        if name in {"FULLY_CONNECTED", "DEPTHWISE_CONV_2D"}:
            output, weights = graph.tensors[operator.outputs[0]], graph.tensors[operator.inputs[1]]
            if output.type == INT8:
                assert weights.type == INT8
                assert not np.any(weights.quantization.zeroPoint)
                assert len(weights.quantization.scale) == output.shape[-1]
                checked += 1
    assert checked > 3


@pytest.mark.parametrize("layer", ["frontend", KEPT, "embedding", "lstm_cell", "output_projection"])
def test_what_is_not_to_be_quantised_stays_float(quantized, layer):
    tensors = [
        graph.tensors[index]
        for graph, operator, name in operators(quantized)
        if name in {"FULLY_CONNECTED", "GATHER"}
        for index in operator.outputs
    ]
    found = [t.type for t in tensors if belongs_to(layer, t.name.decode())]
    assert found
    assert INT8 not in found


def test_means_stay_float(quantized):
    assert set(types(quantized, "DIV", "squeeze_excite")) == {FLOAT32}


def test_inputs_and_outputs_stay_as_they_were(quantized, converted):
    for key in ("transcribe", "predict", "join"):
        for side in ("inputs", "outputs"):
            before, after = (
                {
                    entry.name: signature_graph(model, key)[1].tensors[entry.tensorIndex].type
                    for entry in getattr(signature_graph(model, key)[0], side)
                }
                for model in (converted, quantized)
            )
            assert after == before
            assert set(after.values()) <= {FLOAT32, INT32}


def test_encodes_nearly_the_same(run, quantized, converted_content, padded_noise):
    expected = run(converted_content, "transcribe", padded_noise)
    outputs = run(write_model(quantized), "transcribe", padded_noise)
    np.testing.assert_array_equal(outputs["frame_length"], expected["frame_length"])
    for row, length in enumerate(expected["frame_length"]):
        frames = expected["frames"][row, :length]
        difference = np.abs(outputs["frames"][row, :length] - frames).max()
        assert 0 < difference < 0.25 * np.abs(expected["frames"]).max()


def test_ranges_come_from_the_audio(quantizer, converted, converted_model, padded_noise, quantized):
    """Of a waveform ten times as loud at its start, features have a wider range."""
    burst = padded_noise["audio"][0].copy()
    burst[:200] *= 1000
    other = quantize_encoder(converted, f"{converted_model.name}/encoder", [burst], ["frontend"])

    def scales(model):
        graph = signature_graph(model, "transcribe")[1]
        return {
            tensor.name: tensor.quantization.scale[0]
            for tensor in graph.tensors
            if tensor.type == INT8 and b"conv_0" in tensor.name and b"Pad" in tensor.name
        }

    ours, theirs = scales(quantized), scales(other)
    assert ours.keys() & theirs.keys()
    assert any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys())


def test_says_which_extra_is_missing(monkeypatch, converted):
    monkeypatch.setitem(sys.modules, "ai_edge_quantizer", None)
    with pytest.raises(ImportError, match=r'pip install "keras-contextnet\[quantize\]"'):
        quantize_encoder(converted, "encoder", [np.zeros(8000, "float32")])


def test_an_export_is_a_quarter_of_the_size(
    quantizer, convert_once, converted_model, padded_noise, tmp_path, capfd
):
    path = tmp_path / "asr.tflite"
    converted_model.export(
        path, format="litert", quantization="int8", calibration=padded_noise["audio"][0]
    )
    assert path.is_file()
    assert capfd.readouterr().out == ""  # the quantiser's reports


@pytest.mark.parametrize(
    ("quantization", "calibration"),
    [("int8", None), (None, np.zeros(8000, "float32")), ("float16", np.zeros(8000, "float32"))],
)
def test_calibration_goes_with_int8(tiny_model, tmp_path, quantization, calibration):
    with pytest.raises(ValueError, match=r"`calibration`.*with \"int8\" and only with it"):
        tiny_model.export(
            tmp_path / "asr.tflite",
            format="litert",
            quantization=quantization,
            calibration=calibration,
        )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ([], "an empty list"),
        (np.full(8000, np.nan, "float32"), "NaN"),
        ([np.zeros(8000, "float32"), "missing.wav"], "missing.wav"),
        (np.zeros((2, 8000), "float32"), "one axis"),
        (np.zeros(10, "float32"), "at least 25 ms"),
    ],
)
def test_unusable_calibration_is_an_error(
    convert_once, converted_model, tmp_path, calibration, message
):
    with pytest.raises(ValueError, match=message):
        converted_model.export(
            tmp_path / "asr.tflite", format="litert", quantization="int8", calibration=calibration
        )
    assert not any(tmp_path.iterdir())
