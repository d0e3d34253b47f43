"""joint_rnnt_loss against rnnt_loss on the logits, which is tested against listed alignments."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet import Joiner
from keras_contextnet.losses import (
    joint_rnnt_loss,
    packed_cells,
    prune,
    rnnt_loss,
    rnnt_loss_pruned,
)

CHANNELS, UNITS, VOCABULARY = 5, 6, 7


class Case:
    """Encoder and predictor outputs and the joiner's weights as one vector, and losses of it."""

    def __init__(self, frames, labels, batch=3, seed=0, dtype="float32", **joiner):
        self.joiner = Joiner(VOCABULARY, UNITS, dtype=dtype, **joiner)
        self.joiner.build((None, None, CHANNELS), (None, None, CHANNELS))
        rng = np.random.default_rng(seed)
        self.shapes = [(batch, frames, CHANNELS), (batch, labels + 1, CHANNELS)]
        self.shapes += [variable.shape for variable in self.joiner.trainable_variables]
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.ends = np.cumsum(sizes)
        self.x = rng.normal(size=self.ends[-1])
        self.target = rng.integers(1, VOCABULARY, (batch, labels))
        self.target_length = np.full(batch, labels)
        self.output_length = np.full(batch, frames)

    def parts(self, x):
        starts = [0, *self.ends[:-1]]
        return [
            ops.reshape(x[start:end], shape)
            for start, end, shape in zip(starts, self.ends, self.shapes, strict=True)
        ]

    def part_of(self, gradient, index):
        return np.split(gradient, self.ends)[index].reshape(self.shapes[index])

    def fused(self, **options):
        def loss(x):
            encoder_output, predictor_output, *weights = self.parts(x)
            mapping = list(zip(self.joiner.trainable_variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return joint_rnnt_loss(
                    encoder_output,
                    predictor_output,
                    self.joiner,
                    self.target,
                    self.target_length,
                    self.output_length,
                    **{"negligible": 0.0, **options},
                )

        return loss

    def materialised(self, **options):
        def loss(x):
            encoder_output, predictor_output, *weights = self.parts(x)
            mapping = list(zip(self.joiner.trainable_variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                logits = self.joiner(encoder_output, predictor_output)
            return rnnt_loss(self.target, logits, self.target_length, self.output_length, **options)

        return loss


def check(value_and_gradient, case, mode=None, atol=1e-5, **options):
    modes = () if mode is None else (mode,)
    expected, expected_gradient = value_and_gradient(case.materialised(**options), f32(case))
    value, gradient = value_and_gradient(case.fused(**options), f32(case), *modes)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=atol)
    return value, gradient


def f32(case):
    return case.x.astype("float32")


@pytest.fixture(params=[1, 3, 1000], ids=["single cells", "small blocks", "one block"])
def block_size(request, monkeypatch):
    monkeypatch.setattr(packed_cells, "BLOCK_ENTRIES", request.param * VOCABULARY)


@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
def test_equals_the_loss_of_the_logits(value_and_gradient, block_size, mode):
    case = Case(5, 3)
    case.target_length, case.output_length = np.array([3, 1, 2]), np.array([4, 5, 2])
    check(value_and_gradient, case, mode)


@pytest.mark.parametrize("activation", ["tanh", "relu", "swish"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_any_joiner(value_and_gradient, activation, use_bias):
    check(value_and_gradient, Case(4, 2, activation=activation, use_bias=use_bias))


def test_a_frozen_joiner(value_and_gradient):
    case = Case(4, 2)
    expected, expected_gradient = value_and_gradient(case.materialised(), f32(case))
    parts = case.parts(f32(case))
    case.joiner.set_weights([ops.convert_to_numpy(weight) for weight in parts[2:]])
    case.joiner.trainable = False
    inputs = f32(case)[: case.ends[1]]
    case.shapes, case.ends = case.shapes[:2], case.ends[:2]
    value, gradient = value_and_gradient(case.fused(), inputs)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient[: case.ends[1]], atol=1e-5)


def test_float64_is_exact(value_and_gradient):
    case = Case(6, 3, dtype="float64", activation="relu")  # Keras tanh is float32 on JAX
    expected, expected_gradient = value_and_gradient(case.materialised(), case.x)
    value, gradient = value_and_gradient(case.fused(), case.x)
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-12)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_any_lengths(value_and_gradient, data):
    frames, labels = data.draw(st.sampled_from([(1, 0), (1, 4), (4, 1), (3, 3)]))
    case = Case(frames, labels, batch=2, seed=data.draw(st.integers(0, 99)))
    case.output_length = np.array(
        data.draw(st.lists(st.integers(0, frames), min_size=2, max_size=2))
    )
    case.target_length = np.array(
        data.draw(st.lists(st.integers(0, labels), min_size=2, max_size=2))
    )
    check(value_and_gradient, case, blank_id=0)


@pytest.mark.parametrize(
    "options",
    [
        {"blank_id": -1},
        {"fastemit_lambda": 0.3},
        {"clamp": 0.05},
        {"clamp": 0.05, "fastemit_lambda": 0.3},
    ],
)
def test_options_are_those_of_rnnt_loss(value_and_gradient, options):
    case = Case(5, 3)
    case.target = np.random.default_rng(1).integers(1, VOCABULARY - 1, case.target.shape)
    check(value_and_gradient, case, **options)


@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
def test_pruned_is_the_loss_of_the_kept_columns(value_and_gradient, mode):
    case = Case(6, 4)
    case.target_length, case.output_length = np.array([4, 2, 0]), np.array([6, 3, 4])
    bounds = np.array([[0, 0, 1, 2, 3, 3], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])

    def pruned(x):
        encoder_output, predictor_output, *weights = case.parts(x)
        mapping = list(zip(case.joiner.trainable_variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            logits = case.joiner.join(
                *prune(
                    case.joiner.encoder_projection(encoder_output),
                    case.joiner.predictor_projection(predictor_output),
                    bounds,
                    2,
                )
            )
        return rnnt_loss_pruned(case.target, logits, case.target_length, case.output_length, bounds)

    expected, expected_gradient = value_and_gradient(pruned, f32(case))
    fused = case.fused(bounds=bounds, prune_range=2)
    value, gradient = value_and_gradient(fused, f32(case), mode)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)
    assert (value > value_and_gradient(case.fused(), f32(case))[0])[:2].all()


def test_padding_of_any_value_changes_nothing(value_and_gradient):
    case = Case(5, 3, batch=2)
    case.target_length, case.output_length = np.array([3, 1]), np.array([5, 3])
    value, gradient = value_and_gradient(case.fused(), f32(case))
    encoder_output, predictor_output = np.split(case.x, case.ends)[:2]
    encoder_output.reshape(case.shapes[0])[1, 3:] = np.nan
    predictor_output.reshape(case.shapes[1])[1, 2:] = np.nan
    case.x = np.concatenate([encoder_output, predictor_output, *np.split(case.x, case.ends)[2:]])
    case.target[1, 1:] = -5
    padded_value, padded_gradient = value_and_gradient(case.fused(), f32(case))
    np.testing.assert_array_equal(padded_value, value)
    np.testing.assert_allclose(padded_gradient, gradient, atol=1e-6)


def test_nan_in_a_valid_frame_reaches_loss_and_weights(value_and_gradient):
    case = Case(4, 2, batch=2)
    case.x[0] = np.nan
    value, gradient = value_and_gradient(case.fused(), f32(case))
    assert np.isnan(value[0])
    assert np.isfinite(value[1])
    assert np.isnan(case.part_of(gradient, 2)).any()


def test_negligible_cells_change_the_gradient_by_as_little(value_and_gradient):
    case = Case(40, 12)
    case.x *= 2  # A sharper lattice.
    _, exact = value_and_gradient(case.fused(), f32(case))
    _, default = value_and_gradient(case.fused(negligible=1e-9), f32(case))
    _, rough = value_and_gradient(case.fused(negligible=1e-2), f32(case))
    scale = np.abs(exact).max()
    assert np.abs(default - exact).max() < 1e-6 * scale
    assert 1e-5 * scale < np.abs(rough - exact).max() < 0.1 * scale


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_differs_by_its_rounding(value_and_gradient, policy):
    case = Case(5, 3)
    exact, exact_gradient = value_and_gradient(case.fused(), f32(case))
    mixed = Case(5, 3, dtype=policy)
    value, gradient = value_and_gradient(mixed.fused(), f32(case))
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, exact, rtol=0.02)
    np.testing.assert_allclose(gradient, exact_gradient, atol=0.05 * np.abs(exact_gradient).max())


def test_products_in_bfloat16_differ_by_their_rounding(value_and_gradient, request):
    case = Case(5, 3)
    exact, exact_gradient = value_and_gradient(case.fused(), f32(case))
    request.getfixturevalue("bfloat16_products")
    value, gradient = value_and_gradient(case.fused(), f32(case))
    assert value.dtype == gradient.dtype == np.float32
    assert np.abs(value - exact).max() > 1e-5
    np.testing.assert_allclose(value, exact, rtol=0.02)
    np.testing.assert_allclose(gradient, exact_gradient, atol=0.05 * np.abs(exact_gradient).max())


def test_wrong_arguments_are_named():
    case = Case(4, 2, batch=2)
    encoder_output, predictor_output, *_ = case.parts(f32(case))

    def loss(**changes):
        arguments = {
            "encoder_output": encoder_output,
            "predictor_output": predictor_output,
            "joiner": case.joiner,
            "target": case.target,
            "target_length": case.target_length,
            "output_length": case.output_length,
        }
        joint_rnnt_loss(**{**arguments, **changes})

    loss()
    for changes, message in [
        ({"encoder_output": encoder_output[0]}, "`encoder_output` has to be of rank 3"),
        ({"predictor_output": predictor_output[:, 1:]}, "of the same U as `target`"),
        ({"target": case.target * 0}, r"other than the blank, 0"),
        ({"output_length": [4, 5]}, r"output_length\[1\]=5"),
        ({"blank_id": 9}, "`blank_id` has to be within the vocabulary"),
        ({"clamp": 0.0}, "`clamp` has to be above 0"),
        ({"fastemit_lambda": -1.0}, "`fastemit_lambda` has to be 0 or more"),
        ({"bounds": np.zeros((2, 4), "int32")}, "`prune_range` has to be 1 or more"),
        ({"predictor_output": predictor_output[:1]}, "of the same batch as"),
    ]:
        with pytest.raises(ValueError, match=message):
            loss(**changes)


@pytest.mark.tensorflow_only
def test_every_dimension_may_be_dynamic():
    import tensorflow as tf

    case = Case(5, 3)
    encoder_output, predictor_output, *_ = case.parts(f32(case))
    shapes = [(None, None, CHANNELS), (None, None, CHANNELS), (None, None), (None,), (None,)]
    dtypes = [tf.float32, tf.float32, tf.int32, tf.int32, tf.int32]

    @tf.function(
        input_signature=[tf.TensorSpec(*spec) for spec in zip(shapes, dtypes, strict=True)]
    )
    def gradients(encoder_output, predictor_output, target, target_length, output_length):
        with tf.GradientTape() as tape:
            tape.watch(encoder_output)
            loss = joint_rnnt_loss(
                encoder_output, predictor_output, case.joiner, target, target_length, output_length
            )
        return loss, tape.gradient(loss, encoder_output)

    target = case.target.astype("int32")
    lengths = case.target_length.astype("int32"), case.output_length.astype("int32")
    loss, gradient = gradients(encoder_output, predictor_output, target, *lengths)
    logits = case.joiner(encoder_output, predictor_output)
    np.testing.assert_allclose(loss, rnnt_loss(target, logits, *lengths), rtol=1e-5)
    assert gradient.shape == encoder_output.shape
    # An utterance alone, without labels: other sizes in the same graph.
    alone, _ = gradients(encoder_output[:1, :2], predictor_output[:1, :1], target[:1, :0], [0], [2])
    expected = rnnt_loss(target[:1, :0], logits[:1, :2, :1], [0], [2])
    np.testing.assert_allclose(alone, expected, rtol=1e-5)
