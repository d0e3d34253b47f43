import itertools
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.losses import RNNTLoss, rnnt_loss

EXAMPLES = 25 if keras.backend.backend() == "tensorflow" else 8  # JAX compiles for each

# Reference of warp-transducer and of the peers that follow it.
REFERENCE_LOGITS = np.array(
    [
        [[0.1, 0.6, 0.1, 0.1, 0.1], [0.1, 0.1, 0.6, 0.1, 0.1], [0.1, 0.1, 0.2, 0.8, 0.1]],
        [[0.1, 0.6, 0.1, 0.1, 0.1], [0.1, 0.1, 0.2, 0.1, 0.1], [0.7, 0.1, 0.2, 0.1, 0.1]],
    ],
    "float32",
)[None]
REFERENCE_GRADIENT = np.array(
    [
        [
            [-0.13116688, -0.3999269, 0.17703125, 0.17703125, 0.17703125],
            [-0.18572757, 0.12247056, -0.18168412, 0.12247056, 0.12247056],
            [-0.32091254, 0.06269141, 0.06928472, 0.12624499, 0.06269141],
        ],
        [
            [0.05456069, -0.21824276, 0.05456069, 0.05456069, 0.05456069],
            [0.12073959, 0.12073959, -0.48295835, 0.12073959, 0.12073959],
            [-0.6925882, 0.16871116, 0.18645467, 0.16871116, 0.16871116],
        ],
    ]
)[None]


def alignments(frames, labels):
    """The reference: every path as its arcs, (t, u, is_label), the last of them a blank."""
    free = frames + labels - 1
    for places in itertools.combinations(range(free), labels):
        path, t, u = [], 0, 0
        for place in range(free + 1):
            is_label = place in places
            path.append((t, u, is_label))
            t, u = t + (not is_label), u + is_label
        yield path


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def cost_and_gradient(logits, target, blank, fastemit_lambda=0.0):
    """By listing every alignment: one utterance's logits (T, U + 1, vocabulary), target (U,)."""
    frames, columns, _ = logits.shape
    log_probs = log_softmax(np.asarray(logits, np.float64))
    paths = list(alignments(frames, columns - 1))

    def entry(t, u, is_label):
        return t, u, target[u] if is_label else blank

    scores = np.array([sum(log_probs[entry(*arc)] for arc in path) for path in paths])
    total = np.log(np.exp(scores - scores.max()).sum()) + scores.max()

    by_log_prob = np.zeros_like(log_probs)
    for path, score in zip(paths, scores, strict=True):
        for arc in path:
            scale = 1 + fastemit_lambda if arc[2] else 1
            by_log_prob[entry(*arc)] -= scale * np.exp(score - total)
    gradient = by_log_prob - np.exp(log_probs) * by_log_prob.sum(-1, keepdims=True)
    return -total, gradient


def random_case(frames, labels, vocabulary, blank, seed, batch=1, scale=2.0):
    """Logits (batch, T, U + 1, vocabulary) in float64 and targets (batch, U) without the blank."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (batch, frames, labels + 1, vocabulary))
    target = (blank + rng.integers(1, vocabulary, (batch, labels))) % vocabulary
    return logits, target


def full(batch, length):
    return np.full((batch,), length, "int32")


@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
def test_reference_vector(value_and_gradient, mode):
    cost, gradient = value_and_gradient(
        lambda x: rnnt_loss(np.array([[1, 2]]), x, [2], [2]), REFERENCE_LOGITS, mode
    )
    np.testing.assert_allclose(cost, [4.49566677], rtol=1e-6)
    np.testing.assert_allclose(gradient, REFERENCE_GRADIENT, atol=5e-7)


@pytest.mark.parametrize(
    ("frames", "labels", "vocabulary", "expected"),
    [
        (2, 2, 5, 5.339139361),
        (4, 3, 4, 6.708328254),
        (3, 0, 4, 3 * np.log(4)),
        (1, 3, 7, None),
        (8000, 3, 4, None),
    ],
)
def test_uniform_logits_have_a_closed_form(
    value_and_gradient, frames, labels, vocabulary, expected
):
    if expected is None:
        alignments = math.comb(frames + labels - 1, labels)
        expected = (frames + labels) * np.log(vocabulary) - np.log(alignments)
    target = np.ones((2, labels), "int64")
    cost, _ = value_and_gradient(
        lambda x: rnnt_loss(target, x, full(2, labels), full(2, frames)),
        np.full((2, frames, labels + 1, vocabulary), 3.5, "float32"),
    )
    np.testing.assert_allclose(cost, [expected] * 2, rtol=1e-6)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    frames=st.integers(1, 4),
    labels=st.integers(0, 4),
    vocabulary=st.integers(2, 6),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_agrees_with_listing_every_alignment(
    value_and_gradient, frames, labels, vocabulary, seed, data
):
    blank = data.draw(st.integers(-vocabulary, vocabulary - 1), label="blank_id")
    batch = data.draw(st.integers(1, 3), label="batch")
    frame_lengths = data.draw(st.lists(st.integers(1, frames), min_size=batch, max_size=batch))
    label_lengths = data.draw(st.lists(st.integers(0, labels), min_size=batch, max_size=batch))
    logits, target = random_case(frames, labels, vocabulary, blank % vocabulary, seed, batch)

    cost, gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, label_lengths, frame_lengths, blank_id=blank), logits
    )
    for row, (t, u) in enumerate(zip(frame_lengths, label_lengths, strict=True)):
        expected, expected_gradient = cost_and_gradient(
            logits[row, :t, : u + 1], target[row, :u], blank % vocabulary
        )
        np.testing.assert_allclose(cost[row], expected, atol=1e-6)
        np.testing.assert_allclose(gradient[row, :t, : u + 1], expected_gradient, atol=1e-6)
        assert not gradient[row, t:].any()
        assert not gradient[row, :, u + 1 :].any()


def test_gradient_agrees_with_finite_differences(value_and_gradient):
    logits, target = random_case(5, 3, 4, blank=2, seed=1)
    places = np.random.default_rng(0).choice(logits.size, 30, replace=False)
    step = np.zeros((30, *logits.shape[1:]))
    step[(np.arange(30), *np.unravel_index(places, logits.shape[1:]))] = 1e-5
    rows = np.concatenate([logits, logits + step, logits - step])

    cost, gradient = value_and_gradient(
        lambda x: rnnt_loss(target.repeat(61, 0), x, full(61, 3), full(61, 5), blank_id=2), rows
    )
    differences = (cost[1:31] - cost[31:]) / 2e-5
    np.testing.assert_allclose(gradient[0].flat[places], differences, atol=1e-7)


@pytest.mark.parametrize("mode", ["graph", "compiled"])
def test_compiled_gives_what_eager_gives(value_and_gradient, mode):
    logits, target = random_case(9, 5, 11, blank=10, seed=3, batch=3)
    logits = logits.astype("float32")

    def cost(x):
        return rnnt_loss(target, x, [5, 0, 3], [9, 4, 1], blank_id=-1)

    eager, eager_gradient = value_and_gradient(cost, logits, "eager")
    value, gradient = value_and_gradient(cost, logits, mode)
    np.testing.assert_allclose(value, eager, rtol=1e-6)
    np.testing.assert_allclose(gradient, eager_gradient, atol=1e-6)


@pytest.mark.tensorflow_only
def test_every_dimension_may_be_dynamic():
    import tensorflow as tf

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int64),
            tf.TensorSpec([None, None, None, None], tf.float32),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def cost(*args):
        return rnnt_loss(*args, blank_id=-1)

    for frames, labels, vocabulary in [(4, 2, 5), (2, 0, 3), (1, 6, 8)]:
        logits, target = random_case(frames, labels, vocabulary, vocabulary - 1, seed=0, batch=2)
        logits = logits.astype("float32")
        value = cost(target, logits, np.full(2, labels), full(2, frames))
        for row in range(2):
            expected, _ = cost_and_gradient(logits[row], target[row], vocabulary - 1)
            np.testing.assert_allclose(value[row], expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_logits_are_computed_in_float32(value_and_gradient, dtype):
    logits, target = random_case(6, 4, 8, blank=0, seed=5)
    half = ops.cast(logits, dtype)
    rounded = ops.convert_to_numpy(ops.cast(half, "float32"))

    def cost(x):
        return rnnt_loss(target, x, [4], [6])

    def cost_of_half(x):
        value = cost(ops.cast(x, dtype))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        return value

    expected, expected_gradient = value_and_gradient(cost, rounded)
    value, gradient = value_and_gradient(cost_of_half, rounded)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=2**-9)


def test_float16_losses_may_exceed_the_range_of_float16(value_and_gradient):
    # Each arc costs 1000 and there is one alignment for each of the C(72, 3) orders.
    logits = np.zeros((1, 70, 4, 5), "float16")
    logits[..., :2] = -1000
    expected = 73 * (1000 + np.log(3)) - np.log(72 * 71 * 70 / 6)
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss([[1, 1, 1]], x, [3], [70]), logits, "graph"
    )
    assert expected > 65504
    np.testing.assert_allclose(value, [expected], rtol=1e-6)
    assert gradient.dtype == np.float16
    np.testing.assert_allclose(-gradient[0, :, :, 0].astype("float32").sum(), 70, rtol=1e-3)


def test_padding_of_any_value_changes_nothing(value_and_gradient):
    logits, target = random_case(4, 3, 6, blank=0, seed=7)
    alone, alone_gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, [3], [4]), logits.astype("float32")
    )
    junk = np.array([np.nan, np.inf, -np.inf, 1e30, 0], "float32")
    padded = np.broadcast_to(junk[:, None, None, None], (5, 7, 6, 6)).copy()
    padded[:4, :4, :4] = logits[0]
    labels = np.array([[*target[0], x, y] for x, y in [(0, 0), (-1, 6), (10**6, 1), (2, -(2**31))]])
    labels = np.concatenate([labels, [[1, 1, 1, 1, 1]]])
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss(labels, x, [3, 3, 3, 3, 5], [4, 4, 4, 4, 7]), padded
    )
    np.testing.assert_allclose(value[:4], alone.repeat(4), rtol=1e-6)
    np.testing.assert_allclose(
        gradient[:4, :4, :4], alone_gradient.repeat(4, axis=0), rtol=0, atol=1e-6
    )
    assert np.isfinite(value).all()
    assert not gradient[:4, 4:].any()
    assert not gradient[:4, :, 4:].any()


@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
def test_nan_in_a_valid_cell_shows_in_that_loss_alone(value_and_gradient, mode):
    cells = [(0, 0), (3, 3), (0, 3), (3, 0), (2, 1)]
    logits, target = random_case(4, 3, 6, blank=0, seed=8, batch=6)
    logits = logits.astype("float32")
    for row, (t, u) in enumerate(cells):
        logits[row, t, u, 5] = np.nan

    value, gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, full(6, 3), full(6, 4)), logits, mode
    )
    assert np.isnan(value[:5]).all()
    assert np.isnan(gradient[:5]).any(axis=(1, 2, 3)).all()
    assert np.isfinite(value[5])
    assert np.isfinite(gradient[5]).all()


def test_minus_infinity_off_the_path_is_an_impossible_symbol(value_and_gradient):
    logits, target = random_case(4, 2, 6, blank=5, seed=9)
    target[:] = [[0, 1]]
    allowed = np.ascontiguousarray(logits[..., [0, 1, 2, 5]])
    logits[..., 3:5] = -np.inf
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, [2], [4], blank_id=5), logits.astype("float32")
    )
    expected, expected_gradient = cost_and_gradient(allowed[0], target[0], 3)
    np.testing.assert_allclose(value, [expected], rtol=1e-6)
    np.testing.assert_allclose(gradient[0][..., [0, 1, 2, 5]], expected_gradient, atol=1e-6)
    assert not gradient[..., 3:5].any()


def test_minus_infinity_on_some_paths_leaves_the_others(value_and_gradient):
    # Label 1 cannot be emitted at frame 0, so that it is emitted at frame 1: one path is left.
    logits = np.zeros((1, 2, 2, 3))
    logits[0, 0, 0, 1] = -np.inf
    value, gradient = value_and_gradient(lambda x: rnnt_loss([[1]], x, [1], [2]), logits)
    np.testing.assert_allclose(value, [np.log(2) + 2 * np.log(3)], rtol=1e-6)
    assert np.isfinite(gradient).all()
    assert not gradient[0, 0, 1].any()


def test_a_target_without_any_alignment_costs_infinity_and_moves_nothing(value_and_gradient):
    logits, target = random_case(3, 2, 4, blank=0, seed=4, batch=2)
    logits[0, :, :, target[0, 1]] = -np.inf
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, [2, 2], [3, 3]), logits.astype("float32")
    )
    assert value[0] == np.inf
    assert np.isfinite(value[1])
    assert not gradient[0].any()
    assert gradient[1].any()


def test_rows_without_frames_have_no_gradient(value_and_gradient):
    logits, target = random_case(3, 2, 4, blank=0, seed=4, batch=3)
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, [0, 2, 2], [0, 0, 3]), logits.astype("float32")
    )
    assert value[0] == 0
    assert value[1] == np.inf
    assert np.isfinite(value[2])
    assert not gradient[:2].any()


def test_upstream_gradients_scale_each_row(value_and_gradient):
    logits, target = random_case(4, 3, 5, blank=0, seed=6, batch=4)
    weights = np.array([2.0, -0.5, 0.0, 1e-3])
    _, gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, full(4, 3), full(4, 4)) * weights, logits
    )
    for row in range(4):
        _, expected = cost_and_gradient(logits[row], target[row], 0)
        np.testing.assert_allclose(gradient[row], weights[row] * expected, atol=1e-7)


def test_more_labels_than_frames(value_and_gradient):
    logits, target = random_case(2, 7, 5, blank=0, seed=2)
    value, gradient = value_and_gradient(lambda x: rnnt_loss(target, x, [7], [2]), logits)
    expected, expected_gradient = cost_and_gradient(logits[0], target[0], 0)
    np.testing.assert_allclose(value, [expected], atol=1e-6)
    np.testing.assert_allclose(gradient[0], expected_gradient, atol=1e-6)


def test_fastemit_scales_label_emissions_in_the_gradient_only(value_and_gradient):
    logits, target = random_case(4, 3, 5, blank=4, seed=11)
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss(target, x, [3], [4], blank_id=4, fastemit_lambda=0.3), logits
    )
    expected, _ = cost_and_gradient(logits[0], target[0], 4)
    _, expected_gradient = cost_and_gradient(logits[0], target[0], 4, fastemit_lambda=0.3)
    np.testing.assert_allclose(value, [expected], atol=1e-6)
    np.testing.assert_allclose(gradient[0], expected_gradient, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.ones((2, 3, 1))}, r"`target`.*rank 2.*\(2, 3, 1\)"),
        ({"output": np.zeros((2, 4, 5), "float32")}, r"`output`.*rank 4.*\(2, 4, 5\)"),
        ({"output": np.zeros((2, 4, 4, 5), "int32")}, r"`output`.*float.*int32"),
        ({"output": np.zeros((2, 4, 3, 5), "float32")}, r"same U.*\(2, 4, 3, 5\).*\(2, 3\)"),
        ({"output": np.zeros((2, 0, 4, 5), "float32")}, r"`output`.*frame.*\(2, 0, 4, 5\)"),
        ({"target_length": np.array(3)}, r"`target_length`.*rank 1.*\(\)"),
        ({"target_length": [3, 3, 3]}, r"`target_length`.*batch.*\(3,\)"),
        ({"output_length": [[4, 4]]}, r"`output_length`.*rank 1.*\(1, 2\)"),
        ({"blank_id": 5}, r"`blank_id`.*-5 to 4.*blank_id=5"),
        ({"blank_id": -6}, r"`blank_id`.*blank_id=-6"),
        ({"fastemit_lambda": -1.0}, r"`fastemit_lambda`.*-1.0"),
        ({"target_length": [3, 4]}, r"`target_length`.*0 to 3.*target_length\[1\]=4"),
        ({"output_length": [-1, 4]}, r"`output_length`.*0 to 4.*output_length\[0\]=-1"),
        ({"target": [[1, 2, 3], [1, 0, 1]]}, r"`target`.*blank, 0.*target\[1, 1\]=0"),
        ({"target": [[1, 2, 5], [1, 2, 1]]}, r"`target`.*0 to 4.*target\[0, 2\]=5"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {
        "target": np.ones((2, 3), "int32"),
        "output": np.zeros((2, 4, 4, 5), "float32"),
        "target_length": [3, 3],
        "output_length": [4, 4],
    }
    with pytest.raises(ValueError, match=message):
        rnnt_loss(**{**arguments, **changes})


@pytest.mark.parametrize("mode", ["graph", "compiled"])
def test_what_cannot_be_checked_in_a_graph_is_nan(value_and_gradient, mode):
    # Illegal rows: the blank as a label, a label too large, one too many labels, and frames.
    numbers = np.array([[1, 0, 2, 4], [1, 5, 2, 4], [1, 2, 3, 4], [1, 2, 2, 5], [1, 2, 2, 4]])

    def cost(x):
        # As part of the differentiated input, so that no value is known while tracing.
        numbers = ops.cast(ops.round(x[:, 0, 0, 5:]), "int32")
        return rnnt_loss(numbers[:, :2], x[..., :5], numbers[:, 2], numbers[:, 3])

    x = np.zeros((5, 4, 3, 9), "float32")
    x[:, 0, 0, 5:] = numbers
    value, _ = value_and_gradient(cost, x, mode)
    assert np.isnan(value[:4]).all()
    np.testing.assert_allclose(value[4], 6 * np.log(5) - np.log(10), rtol=1e-6)


class TestRNNTLoss:
    def setup_method(self):
        self.logits, self.target = random_case(4, 3, 6, blank=5, seed=12, batch=2)
        self.logits = self.logits.astype("float32")
        self.costs = ops.convert_to_numpy(
            rnnt_loss(self.target, self.logits, [3, 2], [4, 3], blank_id=5)
        )

    def y_true(self):
        return {"tokens": self.target, "token_length": np.array([3, 2])}

    def y_pred(self):
        return {"logits": self.logits, "frame_length": np.array([4, 3])}

    @pytest.mark.parametrize(
        ("reduction", "reduce"),
        [("sum_over_batch_size", np.mean), ("sum", np.sum), (None, np.asarray)],
    )
    def test_reduction(self, reduction, reduce):
        value = RNNTLoss(blank_id=-1, reduction=reduction)(self.y_true(), self.y_pred())
        np.testing.assert_allclose(ops.convert_to_numpy(value), reduce(self.costs), rtol=1e-6)

    def test_sample_weight(self):
        value = RNNTLoss(blank_id=5)(self.y_true(), self.y_pred(), sample_weight=[0.0, 3.0])
        np.testing.assert_allclose(ops.convert_to_numpy(value), 1.5 * self.costs[1], rtol=1e-6)

    def test_negative_tokens_are_padding(self):
        self.target[1, 2] = -1
        value = RNNTLoss(blank_id=5)(self.target, self.y_pred())
        np.testing.assert_allclose(ops.convert_to_numpy(value), self.costs.mean(), rtol=1e-6)

    def test_plain_logits_are_as_long_as_the_tensor_or_their_mask(self):
        expected = ops.convert_to_numpy(
            rnnt_loss(self.target, self.logits, [3, 2], [4, 4], blank_id=5)
        )
        logits = ops.convert_to_tensor(self.logits)
        value = RNNTLoss(blank_id=5)(self.y_true(), logits)
        np.testing.assert_allclose(ops.convert_to_numpy(value), expected.mean(), rtol=1e-6)

        if keras.backend.backend() == "tensorflow":  # JAX arrays take no attribute while eager
            logits._keras_mask = ops.convert_to_tensor([[1, 1, 1, 1], [1, 1, 1, 0]], dtype="bool")
            value = RNNTLoss(blank_id=5)(self.y_true(), logits)
            np.testing.assert_allclose(ops.convert_to_numpy(value), self.costs.mean(), rtol=1e-6)

    def test_large_token_ids_survive_a_low_precision_loss_dtype(self):
        # 257 is not a bfloat16 number.
        logits = np.zeros((1, 2, 2, 300), "float32")
        logits[..., 257] = 5
        loss = RNNTLoss(dtype="bfloat16", reduction="sum")
        value = loss({"tokens": [[257]], "token_length": [1]}, logits)
        expected = ops.convert_to_numpy(rnnt_loss([[257]], logits, [1], [2]))
        np.testing.assert_allclose(np.float32(value), expected.sum(), rtol=1e-2)

    def test_config_round_trip(self):
        loss = RNNTLoss(blank_id=-1, fastemit_lambda=0.1, reduction="sum", name="transducer")
        config = keras.losses.serialize(loss)
        again = keras.losses.deserialize(config)
        assert config["registered_name"] == "keras_contextnet>RNNTLoss"
        assert isinstance(again, RNNTLoss)
        assert again.get_config() == loss.get_config()
        assert again.blank_id == -1
        assert again.fastemit_lambda == 0.1

    def test_missing_key_is_named(self):
        with pytest.raises(ValueError, match=r"`y_pred`.*frame_length.*logits"):
            RNNTLoss()(self.y_true(), {"logits": self.logits})
        with pytest.raises(ValueError, match=r"`y_true`.*token_length.*tokens"):
            RNNTLoss()({"tokens": self.target}, self.y_pred())

    def test_trains_a_model(self):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4, 4, 8))
        model = keras.Model(inputs, keras.layers.Dense(6)(inputs))
        model.compile(optimizer=keras.optimizers.Adam(0.05), loss=RNNTLoss(blank_id=-1))
        x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype("float32")
        y = np.array([[1, 2, 3], [4, 0, -1]])
        history = model.fit(x, y, epochs=15, verbose=0).history["loss"]
        assert history[-1] < 0.5 * history[0]
