import re

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.models.encoder import paper_blocks

SMALL = [
    {"filters": 8, "num_convs": 1, "residual": False},
    {"filters": 8, "num_convs": 2, "strides": 2},
    {"filters": 12, "num_convs": 2, "strides": 2},
]

# Millions of parameters at alpha 0.5, 1 and 2, of the paper's published sizes' best reading.
COMPONENTS = {
    r"conv_\d/pointwise_kernel": (4.483, 17.912, 71.606),
    r"squeeze_excite_conv/pointwise_kernel": (1.004, 4.014, 16.056),
    r"projection/kernel": (0.852, 3.408, 13.631),
    r"squeeze_excite/(squeeze|excite)/(kernel|bias)": (0.256, 1.014, 4.035),
    r"depthwise_kernel": (0.126, 0.252, 0.503),
    r"batch_norm/(gamma|beta)": (0.059, 0.118, 0.237),
}
ENCODER = (6.78, 26.72, 106.07)
TOTALS = {"small": 10.89, "medium": 31.67, "large": 113.32}


def millions(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights) / 1e6


@pytest.mark.parametrize("column", range(3), ids=list(TOTALS))
def test_sizes_are_those_of_the_paper(column):
    """Rounded as in the table: half a unit of the last digit, and 0.2 % for the whole model."""
    name = list(TOTALS)[column]
    model = kc.ContextNet.from_preset(name, load_weights=False)
    weights = model.encoder.trainable_weights
    for pattern, expected in COMPONENTS.items():
        component = [w for w in weights if re.search(rf"/{pattern}$", w.path)]
        assert millions(component) == pytest.approx(expected[column], abs=5.01e-4), pattern
    known = "|".join(COMPONENTS)
    assert [w.path for w in weights if not re.search(rf"/({known})$", w.path)] == []
    assert millions(weights) == pytest.approx(ENCODER[column], abs=5.01e-3)
    assert millions(model.predictor.trainable_weights) == pytest.approx(3.48, abs=0.005)
    assert millions(model.trainable_weights) == pytest.approx(TOTALS[name], rel=2e-3)
    assert model.joiner.vocabulary_size == 1024


@pytest.fixture(scope="module")
def narrow():
    """All 23 blocks at a sixteenth of their width."""
    return kc.ContextNetEncoder(alpha=1 / 16)


def test_blocks_are_table_1(narrow):
    """Blocks, convolutions and channels at alpha 1, written out from the paper."""
    channels = [256] * 11 + [512] * 11 + [640]
    assert len(narrow.blocks) == 23
    assert [block.filters * 16 for block in narrow.blocks] == channels
    assert [block.num_convs for block in narrow.blocks] == [1] + [5] * 21 + [1]
    assert [i for i, block in enumerate(narrow.blocks) if block.strides == 2] == [3, 7, 14]
    assert {block.strides for block in narrow.blocks} == {1, 2}
    assert [i for i, block in enumerate(narrow.blocks) if not block.residual] == [0, 22]
    assert {block.kernel_size for block in narrow.blocks} == {5}
    assert all(block.squeeze_excite_conv for block in narrow.blocks)
    assert narrow.time_reduction == 8
    assert narrow.output_channels == 40


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 16, 17, 63])
def test_output_length_is_that_of_the_output(narrow, frames, call):
    x = np.ones((1, frames, 80), "float32")
    y = call(narrow, x)
    assert y.shape == (1, int(narrow.output_length(frames)), 40)
    assert narrow.output_length(frames) == -(-frames // 8)


@pytest.mark.parametrize("alpha", [0, -1, 0.001])
def test_alpha_without_channels_is_an_error(alpha):
    with pytest.raises(ValueError, match=rf"Expected `alpha` .*Received: alpha={alpha}"):
        paper_blocks(alpha)


def test_no_blocks_are_an_error():
    with pytest.raises(ValueError, match=r"Expected `blocks` .*Received"):
        kc.ContextNetEncoder(blocks=[])


def test_is_functional(rng, call):
    """`summary`, `get_layer` and feature extraction work as in keras.applications."""
    encoder = kc.ContextNetEncoder(blocks=SMALL)
    lines = []
    encoder.summary(print_fn=lambda line, **_: lines.append(line))
    assert all(f"block_{i}" in "".join(lines) for i in range(3))
    features = keras.Model(encoder.input, encoder.get_layer("block_1").output)
    x = rng.normal(size=(2, 9, 80)).astype("float32")
    expected = call(encoder.blocks[1], call(encoder.blocks[0], x))
    np.testing.assert_allclose(call(features, x), expected, rtol=1e-5, atol=1e-6)


def test_padding_changes_nothing(rng, call):
    """What an utterance gives in a padded batch, it gives alone."""
    encoder = kc.ContextNetEncoder(blocks=SMALL)
    lengths = [23, 10, 1]
    x = rng.normal(size=(3, 23, 80)).astype("float32") * 3
    mask = np.arange(23) < np.array(lengths)[:, None]
    for training in (True, False):  # the first call moves the statistics that the second uses
        y = np.asarray(call(encoder, x, mask=mask, training=training))
    for row, length in enumerate(lengths):
        alone = np.asarray(call(encoder, x[row : row + 1, :length], training=False))
        frames = alone.shape[1]
        np.testing.assert_allclose(y[row, :frames], alone[0], rtol=1e-5, atol=1e-5)


def test_padding_moves_no_statistics(rng, call):
    """Training on a padded utterance leaves what training on it alone leaves."""
    x = rng.normal(size=(1, 21, 80)).astype("float32")
    padded = np.concatenate([x, rng.normal(size=(1, 14, 80)) * 50], axis=1).astype("float32")
    mask = np.arange(35)[None] < 21
    encoders = [kc.ContextNetEncoder(blocks=SMALL) for _ in range(2)]
    encoders[1].set_weights(encoders[0].get_weights())
    before = [np.array(v) for v in encoders[0].non_trainable_variables]
    alone = call(encoders[0], x, training=True)
    y = call(encoders[1], padded, mask=mask, training=True)
    np.testing.assert_allclose(np.asarray(y)[:, :6], alone, rtol=1e-5, atol=1e-5)
    for old, a, b in zip(
        before,
        encoders[0].non_trainable_variables,
        encoders[1].non_trainable_variables,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=a.path)
        assert np.abs(np.asarray(a) - old).max() > 1e-4, a.path


def test_mask_is_strided_with_the_frames():
    encoder = kc.ContextNetEncoder(blocks=SMALL)
    mask = np.arange(13) < np.array([[13], [8], [9]])
    strided = np.asarray(encoder.compute_mask(np.zeros((3, 13, 80)), mask))
    assert strided.sum(axis=1).tolist() == [4, 2, 3]
    assert encoder.output_length(np.array([13, 8, 9])).tolist() == [4, 2, 3]


@pytest.mark.parametrize("context", ["global", 3])
def test_causal_looks_at_no_later_frame(context, rng, call):
    x = rng.normal(size=(1, 24, 80)).astype("float32")
    for padding, looks_ahead in (("causal", False), ("same", True)):
        encoder = kc.ContextNetEncoder(
            blocks=SMALL, padding=padding, squeeze_excite_context=context
        )
        changed = x.copy()
        changed[:, 13:] += 5
        difference = np.abs(np.asarray(call(encoder, x)) - np.asarray(call(encoder, changed)))
        assert bool(difference[:, :4].max() > 1e-4) is looks_ahead  # outputs of frames 0 to 12
        assert difference[:, 4:].max() > 1e-4


def test_config_round_trip(rng, call):
    encoder = kc.ContextNetEncoder(
        blocks=[*SMALL, {"filters": 8, "activation": "relu", "num_convs": 1}],
        num_features=16,
        kernel_size=3,
        padding="causal",
        squeeze_excite_conv=False,
        squeeze_excite_reduction=4,
        squeeze_excite_context=5,
        dropout=0.1,
        kernel_regularizer=keras.regularizers.L2(1e-3),
        activation=keras.activations.relu,
        name="hearing",
    )
    config = keras.saving.serialize_keras_object(encoder)
    again = keras.saving.deserialize_keras_object(config)
    assert keras.saving.serialize_keras_object(again) == config
    assert len(again.losses) == len(encoder.losses) > 0
    again.set_weights(encoder.get_weights())
    x = rng.normal(size=(1, 9, 16)).astype("float32")
    np.testing.assert_array_equal(call(again, x), call(encoder, x))


def test_keras_file_round_trip(tmp_path, rng, call):
    encoder = kc.ContextNetEncoder(blocks=SMALL)
    encoder.save(tmp_path / "encoder.keras")
    again = keras.models.load_model(tmp_path / "encoder.keras")
    assert isinstance(again, kc.ContextNetEncoder)
    x = rng.normal(size=(2, 9, 80)).astype("float32")
    np.testing.assert_array_equal(call(again, x), call(encoder, x))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("how", ["argument", "global"])
def test_mixed_precision(policy, how, rng, call):
    if how == "global":
        keras.config.set_dtype_policy(policy)
    encoder = kc.ContextNetEncoder(blocks=SMALL, dtype=policy if how == "argument" else None)
    keras.config.set_dtype_policy("float32")
    assert all(block.dtype_policy.name == policy for block in encoder.blocks)
    assert {weight.dtype for weight in encoder.weights} == {"float32"}
    x = rng.normal(size=(1, 9, 80)).astype("float32")
    y = call(encoder, x)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    full = kc.ContextNetEncoder(blocks=SMALL, dtype="float32")
    full.set_weights(encoder.get_weights())
    expected = np.asarray(call(full, x))
    error = np.abs(np.asarray(keras.ops.cast(y, "float32")) - expected).max()
    assert error < 0.05 * np.abs(expected).max()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(encoder))
    assert all(block.dtype_policy.name == policy for block in again.blocks)
