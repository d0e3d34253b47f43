import pytest

from keras_contextnet.export import export_model


def test_rejects_an_unknown_format(tiny_model, tmp_path):
    with pytest.raises(ValueError, match="Received: format='onnx'"):
        export_model(tiny_model, tmp_path / "asr.onnx", "onnx")


def test_rejects_an_unknown_argument(tiny_model, tmp_path):
    with pytest.raises(TypeError, match="quantisation"):
        tiny_model.export(tmp_path / "asr.tflite", format="litert", quantisation="int4")
