import numpy as np
import pytest

from keras_contextnet.export import export_saved_model
from keras_contextnet.export.signatures import SIGNATURES


@pytest.fixture(scope="module")
def loaded(saved_model_folder):
    import tensorflow as tf

    return tf.saved_model.load(str(saved_model_folder))


@pytest.mark.tensorflow_only
def test_signatures_are_explicit(loaded):
    assert set(loaded.signatures) == {*SIGNATURES, "serving_default"}
    signatures = {**SIGNATURES, "serving_default": SIGNATURES["transcribe"]}
    for key, expected in signatures.items():
        signature = loaded.signatures[key]
        inputs = signature.structured_input_signature[1]
        for received, described in (
            (inputs, expected["inputs"]),
            (signature.structured_outputs, expected["outputs"]),
        ):
            assert set(received) == set(described)
            for name, spec in received.items():
                assert described[name].startswith(spec.dtype.name)
                assert spec.shape[0] is None


@pytest.mark.tensorflow_only
def test_the_default_signature_transcribes(loaded, batch):
    import tensorflow as tf

    inputs = {name: tf.constant(value) for name, value in batch.items()}
    by_default = loaded.signatures["serving_default"](**inputs)
    for name, value in loaded.signatures["transcribe"](**inputs).items():
        np.testing.assert_array_equal(by_default[name], value)


@pytest.mark.tensorflow_only
def test_gives_the_tokens_of_keras(loaded, batch, expected):
    import tensorflow as tf

    inputs = {name: tf.constant(value) for name, value in batch.items()}
    outputs = loaded.signatures["transcribe"](**inputs)
    for name in ("token_length", "tokens", "token_frame"):
        np.testing.assert_array_equal(outputs[name], expected[name])


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("batch", ["padded"], indirect=True)
def test_a_beam_finds_the_tokens_of_keras(another_model, batch, tmp_path):
    import tensorflow as tf

    model = another_model(beam_width=3)
    model.export(tmp_path / "beam", format="tf_saved_model")
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    outputs = tf.saved_model.load(str(tmp_path / "beam")).signatures["transcribe"](**inputs)
    expected = model.predict_on_batch(batch)
    for name in ("token_length", "tokens", "token_frame"):
        np.testing.assert_array_equal(outputs[name], expected[name])


def test_loads_without_a_warning(saved_model_folder, caplog):
    import tensorflow as tf

    caplog.set_level("WARNING")
    tf.saved_model.load(str(saved_model_folder))
    assert caplog.text == ""


@pytest.mark.tensorflow_only
def test_replaces_an_earlier_export_and_names_no_temporary_folder(tiny_model, tmp_path, caplog):
    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"an earlier export")
    export_saved_model(tiny_model, str(folder))
    assert (folder / "saved_model.pb").stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    assert "Assets written" not in caplog.text


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("is_file", [False, True])
def test_leaves_other_files_alone(tiny_model, tmp_path, is_file):
    target = tmp_path / "thesis"
    other = target if is_file else target / "thesis.tex"
    other.parent.mkdir(exist_ok=True)
    other.write_text("years of work")
    with pytest.raises(FileExistsError, match="something else"):
        export_saved_model(tiny_model, target)
    assert other.read_text() == "years of work"


@pytest.mark.tensorflow_only
def test_leaves_nothing_behind_on_an_error(tmp_path):
    with pytest.raises(AttributeError):
        export_saved_model("no model", tmp_path / "saved_model")
    assert not any(tmp_path.iterdir())


@pytest.mark.jax_only
@pytest.mark.parametrize("name", ["asr", "asr.tflite"])
def test_says_what_to_do_under_another_backend(tiny_model, tmp_path, name):
    format = "litert" if name.endswith("tflite") else "tf_saved_model"
    with pytest.raises(RuntimeError, match="KERAS_BACKEND=tensorflow"):
        tiny_model.export(tmp_path / name, format=format)
    assert not any(tmp_path.iterdir())


@pytest.mark.tensorflow_only
def test_what_training_alone_uses_is_left_out(another_model, saved_model_folder, tmp_path):
    import tensorflow as tf

    import keras_contextnet as kc

    model = another_model(ctc_head=kc.CTCHead(29), simple_joiner=kc.models.SimpleJoiner(29))
    export_saved_model(model, tmp_path / "asr")
    shapes = [
        [weight.shape for weight in tf.saved_model.load(str(folder)).weights]
        for folder in (tmp_path / "asr", saved_model_folder)
    ]
    assert shapes[0] == shapes[1] != []


@pytest.mark.tensorflow_only
def test_a_ctc_model_has_the_signature_transcribe_alone(tiny_model, batch, tmp_path):
    import tensorflow as tf

    import keras_contextnet as kc

    model = kc.ContextNetCTC(tiny_model.encoder, kc.CTCHead(29))
    kernel, bias = model.ctc_head.get_weights()
    model.ctc_head.set_weights([8 * kernel, bias])
    model.export(tmp_path / "asr")
    signatures = tf.saved_model.load(str(tmp_path / "asr")).signatures
    assert set(signatures) == {"transcribe", "serving_default"}
    outputs = signatures["transcribe"](**{k: tf.constant(v) for k, v in batch.items()})
    expected = model.predict_on_batch(batch)
    assert expected["token_length"].min() > 0
    assert set(outputs) == {"tokens", "token_length", "token_frame"}
    for name, value in outputs.items():
        np.testing.assert_array_equal(value, expected[name])
    with pytest.raises(ValueError, match=r"\"tf_saved_model\".*'litert'.*A ContextNet exports"):
        model.export(tmp_path / "asr.tflite", format="litert")
