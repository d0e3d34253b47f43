import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.models.preset_weights import save_preset_weights


def stored(path):
    import h5py

    weights = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: weights.update({name: item[()]}) if hasattr(item, "shape") else None
        )
    return weights


def test_the_optimizer_stays_behind(make_contextnet, tmp_path):
    model = make_contextnet()
    model.compile(keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    save_preset_weights(model, tmp_path / "model.weights.h5")
    size = sum(weight.size for weight in stored(tmp_path / "model.weights.h5").values())
    assert size == sum(np.prod(weight.shape) for weight in model.weights)
    assert [path.name for path in tmp_path.iterdir()] == ["model.weights.h5"]


def test_matrices_are_stored_in_half_precision(make_contextnet, tmp_path):
    path = tmp_path / "model.weights.h5"
    save_preset_weights(make_contextnet(), path, half_precision=True)
    types = {(weight.ndim >= 2, weight.dtype.name) for weight in stored(path).values()}
    assert types >= {(True, "float16"), (False, "float32")}
    assert not types & {(True, "float32"), (False, "float16")}


def test_a_half_precision_preset_is_the_rounded_model(make_contextnet, tmp_path):
    model = make_contextnet()
    model.save_to_preset(tmp_path, half_precision=True)
    again = kc.ContextNet.from_preset(tmp_path, load_weights=True)
    for weight, expected in zip(again.weights, model.weights, strict=True):
        expected = np.asarray(expected)
        if expected.ndim >= 2 and expected.dtype == np.float32:
            expected = expected.astype("float16").astype("float32")
        assert weight.dtype == keras.backend.standardize_dtype(expected.dtype)
        np.testing.assert_array_equal(np.asarray(weight), expected)


@pytest.mark.parametrize("value", [1e5, np.nan])
def test_what_half_precision_cannot_hold_is_an_error(value, make_contextnet, tmp_path):
    model = make_contextnet()
    kernel = model.joiner.output_projection.kernel
    kernel.assign(np.full(kernel.shape, value))
    with pytest.raises(ValueError, match=r"at most 65504.*joiner/output_projection"):
        model.save_to_preset(tmp_path / "preset", half_precision=True)
    assert not (tmp_path / "preset").exists()
