import json
import os
import subprocess
import sys
import types
import warnings

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.models import presets


@pytest.fixture
def folder(make_contextnet, tmp_path):
    model = make_contextnet(augmenter=kc.layers.SpecAugment(time_masks=1), l2=1e-3)
    model.save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


def outputs_of(model, batch):
    return model.predict_on_batch(batch[0])


def assert_same_outputs(model, other, batch):
    expected = outputs_of(model, batch)
    for name, value in outputs_of(other, batch).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_paper_preset_says_in_one_line_that_it_has_no_weights(make_contextnet):
    with pytest.warns(UserWarning, match="'small' has no trained weights") as caught:
        model = kc.ContextNet.from_preset("small")
    (warning,) = caught
    assert "\n" not in str(warning.message)
    assert warning.filename == __file__
    assert model.tokenizer.vocabulary_size == 1023
    assert model.blank_id == 1023
    assert model.joiner.units == 320
    assert isinstance(model.augmenter, kc.layers.SpecAugment)
    assert "10.9 M" in kc.ContextNet.presets["small"]


def test_paper_preset_takes_overrides():
    tokenizer = kc.text.CharacterTokenizer("abc ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = kc.ContextNet.from_preset(
            "small",
            load_weights=False,
            tokenizer=tokenizer,
            dtype="mixed_bfloat16",
            augmenter=None,
            l2=1e-6,
            max_symbols_per_frame=2,
        )
    assert model.tokenizer is tokenizer
    assert model.predictor.vocabulary_size == model.joiner.vocabulary_size == 5
    assert (model.augmenter, model.l2, model.max_symbols_per_frame) == (None, 1e-6, 2)
    parts = (*model.encoder.blocks, model.predictor.lstms[0], model.joiner.output_projection)
    assert {part.dtype_policy.name for part in parts} == {"mixed_bfloat16"}


def test_paper_preset_with_weights_asked_for_is_an_error():
    with pytest.raises(ValueError, match=r"'large' has no trained weights.*load_weights=True"):
        kc.ContextNet.from_preset("large", load_weights=True)


@pytest.mark.parametrize("name", ["tiny", "no/such/folder"])
def test_unknown_preset_is_an_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no folder has such a name
    match = rf"\['large', 'medium', 'small', 'small_en'\].*Received: preset='{name}'"
    with pytest.raises(ValueError, match=match):
        kc.ContextNet.from_preset(name)


@pytest.mark.parametrize("load_weights", [None, True])
def test_round_trip(load_weights, make_contextnet, batch, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = kc.ContextNet.from_preset(str(folder), load_weights=load_weights)
    expected = make_contextnet(augmenter=kc.layers.SpecAugment(time_masks=1), l2=1e-3)
    assert_same_outputs(model, expected, batch)
    assert model.tokenizer.pieces == expected.tokenizer.pieces
    assert model.augmenter.time_masks == 1
    assert model.l2 == 1e-3


def test_layout_is_keras_hub_s(folder):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"config.json", "metadata.json", "model.weights.h5", "tokenizer.json"}
    assert (folder / "assets" / "tokenizer").is_dir()
    assert json.loads((folder / "config.json").read_text())["class_name"] == "ContextNet"
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["keras_contextnet_version"] == kc.__version__
    assert metadata["parameter_count"] > 1000
    assert list(folder.parent.iterdir()) == [folder]


def test_sentencepiece_vocabulary_is_an_asset(make_contextnet, tmp_path):
    from keras_contextnet.text import english_tokenizer

    model = make_contextnet(
        predictor=kc.Predictor(1024, embedding_size=4, units=4),
        joiner=kc.Joiner(1024, units=4),
        tokenizer=english_tokenizer(),
    )
    model.save_to_preset(tmp_path)
    assert len(list((tmp_path / "assets" / "tokenizer").iterdir())) == 1
    assert (tmp_path / "tokenizer.json").stat().st_size < 2000
    again = kc.ContextNet.from_preset(tmp_path)
    text = "the two texts side by side"
    assert again.tokenizer.encode(text) == model.tokenizer.encode(text)


def test_weights_can_be_left_random(batch, folder):
    weights = [kc.ContextNet.from_preset(folder, load_weights=value) for value in (True, False)]
    kernels = [np.asarray(model.joiner.output_projection.kernel) for model in weights]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_overrides_of_a_saved_preset(batch, folder):
    model = kc.ContextNet.from_preset(folder, l2=0.5, augmenter=None, dtype="mixed_float16")
    assert (model.l2, model.augmenter) == (0.5, None)
    assert {block.dtype_policy.name for block in model.encoder.blocks} == {"mixed_float16"}
    full = kc.ContextNet.from_preset(folder)
    a, b = outputs_of(model, batch)["encoder_output"], outputs_of(full, batch)["encoder_output"]
    np.testing.assert_allclose(a.astype("float32"), b, atol=0.02)
    with pytest.raises(ValueError, match=r"`tokenizer` of 28 pieces.*Received: a tokenizer of 3"):
        kc.ContextNet.from_preset(folder, tokenizer=kc.text.CharacterTokenizer("abc"))


def test_model_without_tokenizer_round_trip(make_contextnet, batch, tmp_path):
    model = make_contextnet(tokenizer=None)
    model.save_to_preset(tmp_path / "preset")
    again = kc.ContextNet.from_preset(tmp_path / "preset")
    assert again.tokenizer is None
    assert_same_outputs(model, again, batch)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: truncate(folder / "model.weights.h5"), r"model\.weights\.h5.*truncated"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json to be a JSON file"),
        (lambda folder: truncate(folder / "config.json"), r"config\.json to be a JSON file"),
        (lambda folder: truncate(folder / "tokenizer.json"), r"tokenizer\.json to be a JSON file"),
        (lambda folder: (folder / "config.json").write_text("[]"), r"config\.json"),
        (lambda folder: (folder / "config.json").write_text("{}"), r"config\.json"),
    ],
    ids=["weights", "no config", "config", "tokenizer", "list", "empty"],
)
def test_broken_preset_is_an_error_that_names_the_file(damage, message, folder):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        kc.ContextNet.from_preset(folder)


def test_missing_weights(folder):
    (folder / "model.weights.h5").unlink()
    with pytest.warns(UserWarning, match=r"model\.weights\.h5 is missing.*random"):
        kc.ContextNet.from_preset(folder)
    with pytest.raises(ValueError, match=r"model\.weights\.h5, since load_weights=True"):
        kc.ContextNet.from_preset(folder, load_weights=True)


def test_weights_of_another_model_are_an_error(make_contextnet, folder):
    other = make_contextnet(joiner=kc.Joiner(29, units=5))
    other.save_weights(folder / "model.weights.h5")
    with pytest.raises(ValueError, match=r"model\.weights\.h5 to hold the weights of this model"):
        kc.ContextNet.from_preset(folder)


def test_folder_of_something_else_is_left_alone(make_contextnet, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=rf"Received: {tmp_path}"):
        make_contextnet().save_to_preset(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_saving_again_replaces_the_preset_and_keeps_other_files(make_contextnet, batch, folder):
    """A model card lies beside the weights; the old tokenizer must not."""
    (folder / "README.md").write_text("A model card.")
    (folder / "assets" / "pictures").mkdir()
    (folder / "assets" / "pictures" / "curve.png").write_bytes(b"png")
    model = make_contextnet(seed=9, tokenizer=None)
    model.save_to_preset(folder)
    assert (folder / "README.md").read_text() == "A model card."
    assert (folder / "assets" / "pictures" / "curve.png").read_bytes() == b"png"
    assert not (folder / "tokenizer.json").exists()
    assert_same_outputs(kc.ContextNet.from_preset(folder), model, batch)
    assert list(folder.parent.iterdir()) == [folder]


def test_interrupted_save_leaves_the_old_preset_whole(make_contextnet, batch, folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    model = make_contextnet(seed=9)
    monkeypatch.setattr(model, "save_weights", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save_to_preset(folder)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before
    assert list(folder.parent.iterdir()) == [folder]


def test_hub_without_huggingface_hub_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ImportError, match=r'hf://user/model.*pip install "keras-contextnet\[hub\]"'
    ):
        kc.ContextNet.from_preset("hf://user/model")


def test_hub_preset_is_downloaded(make_contextnet, batch, folder, monkeypatch):
    asked = []

    def snapshot_download(repo_id, **_):
        asked.append(repo_id)
        return str(folder)

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    model = kc.ContextNet.from_preset("hf://user/model", l2=0.25)
    assert asked == ["user/model"]
    assert model.l2 == 0.25
    assert_same_outputs(model, kc.ContextNet.from_preset(folder), batch)


def test_presets_table_is_the_paper_s():
    widths = {name: preset.alpha for name, preset in presets.PRESETS.items()}
    assert widths == {"small": 0.5, "medium": 1.0, "large": 2.0}


def test_weights_move_between_backends(batch, folder, tmp_path):
    """A preset saved under this backend gives the same under the other."""
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    pytest.importorskip(other)
    np.savez(tmp_path / "x.npz", **batch[0])
    program = (
        "import sys, numpy as np, keras_contextnet as kc\n"
        "preset, x, y = sys.argv[1:]\n"
        "model = kc.ContextNet.from_preset(preset, load_weights=True)\n"
        "np.savez(y, **model.predict_on_batch(dict(np.load(x))))\n"
    )
    arguments = [folder, tmp_path / "x.npz", tmp_path / "y.npz"]
    subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
    )
    expected = outputs_of(kc.ContextNet.from_preset(folder), batch)
    with np.load(tmp_path / "y.npz") as received:
        for name, value in expected.items():
            np.testing.assert_allclose(received[name], value, atol=2e-5, err_msg=name)
