import numpy as np
import pytest

from keras_contextnet.export import export_saved_model


@pytest.fixture(scope="module")
def loaded(saved_model_folder):
    import tensorflow as tf

    return tf.saved_model.load(str(saved_model_folder))


@pytest.mark.tensorflow_only
def test_signatures_are_explicit(loaded):
    assert set(loaded.signatures) == {"transcribe", "serving_default"}
    for signature in loaded.signatures.values():
        inputs = signature.structured_input_signature[1]
        assert {name: (s.dtype.name, s.shape.as_list()) for name, s in inputs.items()} == {
            "audio": ("float32", [None, None]),
            "audio_length": ("int32", [None]),
        }
        outputs = signature.structured_outputs
        assert {name: (s.dtype.name, s.shape.rank) for name, s in outputs.items()} == {
            "tokens": ("int32", 2),
            "token_length": ("int32", 1),
        }


@pytest.mark.tensorflow_only
def test_gives_the_tokens_of_keras(loaded, batch, expected):
    import tensorflow as tf

    inputs = {name: tf.constant(value) for name, value in batch.items()}
    outputs = loaded.signatures["transcribe"](**inputs)
    np.testing.assert_array_equal(outputs["token_length"], expected["token_length"])
    np.testing.assert_array_equal(outputs["tokens"], expected["tokens"])


@pytest.mark.tensorflow_only
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
