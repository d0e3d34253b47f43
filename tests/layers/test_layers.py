"""What every layer promises, checked for each of them in one place."""

import inspect
import json

import keras
import numpy as np
import pytest

from keras_contextnet.layers import (
    ContextBlock,
    LogMelSpectrogram,
    MaskedBatchNormalization,
    PointwiseConvNorm,
    SeparableConvBlock,
    SpecAugment,
    SqueezeExcite1D,
    Swish,
    TempoPerturbation,
    VocalTractPerturbation,
)

# Arguments are not the defaults, so that one that get_config leaves out is seen.
CASES = {
    "swish": (Swish, dict(beta=1.5, learn_beta=True)),
    "batch_norm": (MaskedBatchNormalization, dict(momentum=0.7, epsilon=0.01)),
    "pointwise": (
        PointwiseConvNorm,
        dict(filters=4, strides=2, batch_norm_momentum=0.7, kernel_regularizer="l2"),
    ),
    "squeeze_excite": (SqueezeExcite1D, dict(reduction=2, activation="relu", use_bias=False)),
    "squeeze_excite_causal": (SqueezeExcite1D, dict(context=6, causal=True)),
    "separable": (
        SeparableConvBlock,
        dict(
            filters=4,
            kernel_size=3,
            strides=2,
            activation="relu",
            batch_norm_momentum=0.7,
            kernel_initializer="he_normal",
            kernel_regularizer="l2",
        ),
    ),
    "separable_causal": (
        SeparableConvBlock,
        dict(filters=4, kernel_size=4, padding="causal", use_batch_norm=False, strides=3),
    ),
    "context": (
        ContextBlock,
        dict(
            filters=4,
            num_convs=2,
            kernel_size=3,
            strides=2,
            squeeze_excite_reduction=2,
            dropout=0.25,
            batch_norm_momentum=0.7,
            kernel_regularizer="l2",
        ),
    ),
    "context_causal": (
        ContextBlock,
        dict(
            filters=4,
            num_convs=1,
            residual=False,
            squeeze_excite_conv=False,
            squeeze_excite_context=4,
            padding="causal",
            activation="relu",
        ),
    ),
    "context_nemo": (
        ContextBlock,
        dict(
            filters=4,
            num_convs=2,
            squeeze_excite_conv=False,
            squeeze_excite_bias=False,
            activate_last_conv=False,
            conv_dropout=0.25,
        ),
    ),
    "log_mel": (
        LogMelSpectrogram,
        dict(
            sample_rate=8000,
            num_bands=9,
            window_seconds=0.02,
            hop_seconds=0.008,
            fft_length=256,
            low_hz=100.0,
            high_hz=3800.0,
            preemphasis=0.9,
            log_offset=1e-5,
        ),
    ),
    "log_mel_floor": (
        LogMelSpectrogram,
        dict(num_bands=9, log_floor=1e-4, window_function="bartlett", frame_count="floor"),
    ),
    "log_mel_floor_plus_one": (
        LogMelSpectrogram,
        dict(num_bands=9, window_function="blackman", frame_count="floor_plus_one"),
    ),
    "spec_augment": (
        SpecAugment,
        dict(
            frequency_masks=1,
            frequency_width=2,
            time_masks=3,
            time_ratio=0.2,
            mask_value=-1.0,
            seed=3,
        ),
    ),
    "tempo_perturbation": (
        TempoPerturbation,
        dict(deviation=0.2, shortest_period=7, seed=3),
    ),
    "vocal_tract_perturbation": (
        VocalTractPerturbation,
        dict(factors=[0.9, 1.2], low_hz=50.0, high_hz=3800.0, knee_hz=3000.0, seed=3),
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def layer(case):
    layer_class, arguments = case
    return layer_class(**arguments)


@pytest.fixture
def batch(layer, rng):
    """Inputs of 21 frames (or 21 hops of samples), of which the second utterance has 14."""
    frames, length = 21, 14
    if isinstance(layer, LogMelSpectrogram):
        frames, length = frames * layer.hop, length * layer.hop - 3
        inputs = rng.normal(size=(2, frames)).astype("float32")
    else:
        inputs = rng.normal(size=(2, frames, 6)).astype("float32")
    return inputs, np.arange(frames) < np.array([[frames], [length]])


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    """A subclassed model around one layer."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, inputs, training=False):
        return self.layer(inputs[0], mask=inputs[1], training=training)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("layer")))


def functional(layer, inputs):
    x = keras.Input((None, *inputs.shape[2:]))
    mask = keras.Input((None,), dtype="bool")
    return keras.Model([x, mask], layer(x, mask=mask))


def subclassed(layer, inputs):
    del inputs
    if not takes_training(layer):
        pytest.skip("the same class of layer is covered by the functional model")
    return Subclassed(layer)


def fill_padding(inputs, mask, value):
    mask = mask.reshape(mask.shape + (1,) * (inputs.ndim - 2))
    return np.where(mask, inputs, value).astype("float32")


def takes_training(layer):
    return "training" in inspect.signature(layer.call).parameters


def training_arguments(layer):
    return {"training": True} if takes_training(layer) else {}


def to_numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))


def test_config_holds_every_argument_and_gives_the_layer_back(case, layer):
    layer_class, arguments = case
    config = layer.get_config()
    signature = inspect.signature(layer_class.__init__).parameters
    assert set(signature) - {"self", "kwargs"} <= set(config)
    for argument, value in arguments.items():
        if not argument.startswith("kernel_"):  # Keras spells those out as dictionaries
            assert config[argument] == value
    assert layer_class.from_config(config).get_config() == config
    serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    assert keras.saving.deserialize_keras_object(serialized).get_config() == config


@pytest.mark.parametrize("wrap", [functional, subclassed])
def test_saved_model_gives_the_same_output(wrap, layer, batch, call, randomize, tmp_path):
    inputs, mask = batch
    model = wrap(layer, inputs)
    model([keras.Input(inputs.shape[1:]), keras.Input(mask.shape[1:], dtype="bool")])
    randomize(layer)
    expected = to_numpy(call(model, [inputs, mask]))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(call(loaded, [inputs, mask])), expected)


def test_alone_and_padded_agree(layer, batch, call, randomize):
    inputs, mask = batch
    layer.build(inputs.shape)
    randomize(layer)
    alone = [to_numpy(call(layer, inputs[i : i + 1, mask[i]]))[0] for i in range(2)]
    for padding in (0.0, 1e30, np.nan):
        x = fill_padding(inputs, mask, padding)
        padded = to_numpy(call(layer, x, mask=mask))
        padded_mask = np.asarray(layer.compute_mask(x, mask))
        for i in range(2):
            assert padded_mask[i].sum() == len(alone[i])
            real = padded[i, : len(alone[i])]
            np.testing.assert_allclose(real, alone[i], rtol=1e-5, atol=1e-5)


def test_zeros_in_the_padding_stay_and_need_no_pass(layer, batch, call, randomize):
    if "zero_padded" not in inspect.signature(layer.call).parameters:
        pytest.skip("masks its inputs always, or never")
    inputs, mask = batch
    layer.build(inputs.shape)
    randomize(layer)
    left = ~np.asarray(layer.compute_mask(inputs, mask))
    for arguments in ({}, training_arguments(layer)):
        expected = to_numpy(call(layer, fill_padding(inputs, mask, 7.0), mask=mask, **arguments))
        zeros = fill_padding(inputs, mask, 0.0)
        actual = to_numpy(call(layer, zeros, mask=mask, zero_padded=True, **arguments))
        np.testing.assert_allclose(actual[~left], expected[~left], rtol=1e-5, atol=1e-5)
        assert left.any()
        assert not actual[left].any()


def test_training_does_not_depend_on_padding(case, batch, call, randomize):
    layer_class, arguments = case
    if layer_class is SpecAugment:
        pytest.skip("draws other numbers for another size")
    settled = {"dropout": 0.0, "conv_dropout": 0.0, "factors": [0.9], "deviation": 0.0}  # no draws
    settled = {name: value for name, value in settled.items() if name in arguments}
    layer = layer_class(**{**arguments, **settled})
    inputs, mask = batch
    layer.build(inputs.shape)
    start = randomize(layer).get_weights()
    results = []
    for extra, padding in ((0, 0.0), (7, 1e30), (7, np.nan)):
        layer.set_weights(start)
        width = [(0, 0), (0, extra)]
        m = np.pad(mask, width)
        x = fill_padding(np.pad(inputs, width + [(0, 0)] * (inputs.ndim - 2)), m, padding)
        y = to_numpy(call(layer, x, mask=m, **training_arguments(layer)))
        real = np.asarray(layer.compute_mask(x, m))
        results.append([y[real], *layer.get_weights()])
    for padded in results[1:]:
        for a, b in zip(results[0], padded, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)


def test_gradient_reaches_real_frames_only(layer, batch, rng, gradient):
    inputs, mask = batch
    layer.build(inputs.shape)
    shape = layer.compute_output_shape(inputs.shape)
    real = np.asarray(layer.compute_mask(inputs, mask))[..., None]
    weights = (rng.normal(size=shape) * real).astype("float32")
    grad = gradient(layer, inputs, mask, weights, **training_arguments(layer))
    assert np.isfinite(grad).all()
    assert (grad[~mask] == 0).all()
    assert (grad[mask] != 0).mean() > 0.5


@pytest.mark.tensorflow_only
def test_one_graph_serves_every_length(layer, batch, graph):
    inputs, mask = batch
    layer.build(inputs.shape)
    function = graph(layer, inputs)
    for size in (inputs.shape[1], mask[1].sum(), 2, 1):
        x, m = inputs[:, :size], mask[:, :size]
        np.testing.assert_allclose(function(x, m), layer(x, mask=m), rtol=1e-5, atol=1e-5)


def test_shapes_and_masks_agree_with_the_output(layer, batch, output_shape):
    inputs, mask = batch
    symbolic = layer(keras.Input((None, *inputs.shape[2:])))  # asks compute_output_shape
    assert symbolic.shape[:2] == (None, None)
    assert layer.supports_masking
    assert layer.compute_mask(inputs, None) is None
    for size in (inputs.shape[1], mask[1].sum()):  # odd and even
        x, m = inputs[:, :size], mask[:, :size]
        shape = output_shape(layer, x)
        assert shape == layer.compute_output_shape(x.shape)
        assert shape[2] == symbolic.shape[2]
        assert shape[:2] == tuple(layer.compute_mask(x, m).shape)


def test_half_precision(case, batch, call, randomize):
    layer_class, arguments = case
    inputs, mask = batch
    reference = layer_class(**arguments)
    reference.build(inputs.shape)
    weights = randomize(reference).get_weights()
    expected = to_numpy(call(reference, inputs, mask=mask))
    real = np.asarray(reference.compute_mask(inputs, mask))
    for dtype, tolerance in (("bfloat16", 0.02), ("float16", 0.003)):
        layer = layer_class(**arguments, dtype=f"mixed_{dtype}")
        layer.build(inputs.shape)
        layer.set_weights(weights)
        y = call(layer, inputs, mask=mask)
        assert keras.backend.standardize_dtype(y.dtype) == dtype
        assert {w.dtype for w in layer.trainable_weights} <= {"float32"}
        difference = np.abs(to_numpy(y) - expected)[real]
        assert difference.max() < tolerance * np.abs(expected[real]).max()
        assert layer_class.from_config(layer.get_config()).dtype_policy == layer.dtype_policy


def test_rejects_inputs_of_another_rank(layer):
    if isinstance(layer, Swish):
        pytest.skip("takes any shape")
    with pytest.raises(ValueError, match=r"expects .* \(batch, .*Received: shape=\(3,\)"):
        layer(np.ones(3, "float32"))
