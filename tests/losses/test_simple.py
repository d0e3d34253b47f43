import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.losses import rnnt_loss
from keras_contextnet.losses.lattice import lattice_cost
from keras_contextnet.losses.simple import rnnt_loss_simple

EXAMPLES = 15 if keras.backend.backend() == "tensorflow" else 6  # JAX compiles for each
# Under JAX both are the same.
MODES = [pytest.param("graph", marks=pytest.mark.tensorflow_only), "compiled"]


def random_case(frames, labels, vocabulary, blank, seed, batch=1, scale=2.0):
    """Logits of encoder and predictor after one another (batch, T + U + 1, vocabulary); targets."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (batch, frames + labels + 1, vocabulary))
    return logits, (blank + rng.integers(1, vocabulary, (batch, labels))) % vocabulary


def simple_loss(target, frames, label_length, frame_length, **settings):
    """As a function of encoder and predictor after one another."""

    def loss(x):
        return rnnt_loss_simple(
            target, x[:, :frames], x[:, frames:], label_length, frame_length, **settings
        )

    return loss


def loss_of_the_sums(target, frames, label_length, frame_length, **settings):
    def loss(x):
        output = x[:, :frames, None] + x[:, None, frames:]
        return rnnt_loss(target, output, label_length, frame_length, **settings)

    return loss


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@settings(max_examples=EXAMPLES)
@given(
    frames=st.integers(1, 6),
    labels=st.integers(0, 5),
    vocabulary=st.integers(2, 6),
    scale=st.sampled_from([0.0, 1.0, 8.0]),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_agrees_with_the_loss_of_the_sums(
    value_and_gradient, frames, labels, vocabulary, scale, seed, data
):
    blank = data.draw(st.integers(-vocabulary, vocabulary - 1), label="blank_id")
    frame_length = data.draw(st.lists(st.integers(1, frames), min_size=2, max_size=2))
    label_length = data.draw(st.lists(st.integers(0, labels), min_size=2, max_size=2))
    fastemit = data.draw(st.sampled_from([0.0, 0.2]))
    x, target = random_case(frames, labels, vocabulary, blank % vocabulary, seed, 2, scale)
    settings = {"blank_id": blank, "fastemit_lambda": fastemit}

    arguments = (target, frames, label_length, frame_length)
    expected = value_and_gradient(loss_of_the_sums(*arguments, **settings), x)
    value, gradient = value_and_gradient(simple_loss(*arguments, **settings), x.astype("float32"))
    np.testing.assert_allclose(value, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=2e-5)


@pytest.mark.parametrize("mode", MODES)
def test_compiled_gives_what_eager_gives(value_and_gradient, mode):
    x, target = random_case(7, 4, 9, blank=8, seed=3, batch=3)
    loss = simple_loss(
        target,
        7,
        [4, 0, 2],
        [7, 4, 1],
        blank_id=-1,
        encoder_only_scale=0.2,
        predictor_only_scale=0.3,
    )
    eager, eager_gradient = value_and_gradient(loss, x.astype("float32"), "eager")
    value, gradient = value_and_gradient(loss, x.astype("float32"), mode)
    np.testing.assert_allclose(value, eager, rtol=1e-6)
    np.testing.assert_allclose(gradient, eager_gradient, atol=2e-6)


@pytest.mark.parametrize("scales", [(0.25, 0.0), (0.1, 0.3), (0.0, 1.0)])
def test_smoothing_interpolates_log_probabilities(value_and_gradient, scales):
    for_encoder, for_predictor = scales
    frames, labels, vocabulary, blank = 5, 3, 6, 2
    frame_length, label_length = [5, 3], [3, 2]
    x, target = random_case(frames, labels, vocabulary, blank, seed=5, batch=2)
    encoder, predictor = x[:, :frames], x[:, frames:]

    both = log_softmax(encoder[:, :, None] + predictor[:, None])
    alone = np.broadcast_to(log_softmax(predictor)[:, None], both.shape)
    distributions = np.exp(log_softmax(predictor))
    average = np.concatenate([d[: u + 1] for d, u in zip(distributions, label_length, strict=True)])
    average = np.log(average.mean(axis=0))
    without_history = log_softmax(encoder + average)[:, :, None]
    log_probs = (1 - sum(scales)) * both + for_encoder * without_history + for_predictor * alone
    label_log_prob = np.zeros(both.shape[:3])
    for row in range(2):
        for u in range(labels):
            label_log_prob[row, :, u] = log_probs[row, :, u, target[row, u]]
    arcs = np.stack([log_probs[..., blank], label_log_prob])
    expected, _ = value_and_gradient(
        lambda arcs: lattice_cost(arcs[0], arcs[1], frame_length, label_length), arcs
    )

    step = np.random.default_rng(1).normal(size=x.shape)
    loss = simple_loss(
        target,
        frames,
        label_length,
        frame_length,
        blank_id=blank,
        encoder_only_scale=for_encoder,
        predictor_only_scale=for_predictor,
    )
    value, gradient = value_and_gradient(loss, x)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    ahead, _ = value_and_gradient(loss, x + 1e-5 * step)
    behind, _ = value_and_gradient(loss, x - 1e-5 * step)
    difference = (ahead - behind).sum() / 2e-5
    np.testing.assert_allclose((gradient * step).sum(), difference, rtol=1e-6)


def far_apart(distance):
    """The encoder is sure of one symbol and the predictor of another, by so much."""
    x, target = random_case(4, 2, 5, blank=0, seed=2, batch=1)
    x[:, :4, 1] += distance
    x[:, 4:, 3] += distance
    return x, target


@pytest.mark.parametrize("distance", [30, 60, 100])
def test_logits_may_lie_far_apart(value_and_gradient, distance):
    # The exponentials of 100 below the largest are denormal, and their products zero, in float32.
    x, target = far_apart(distance)
    arguments = (target, 4, [2], [4])
    expected = value_and_gradient(loss_of_the_sums(*arguments), x)
    value, gradient = value_and_gradient(simple_loss(*arguments), x.astype("float32"))
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-4)


@pytest.mark.parametrize("distance", [150, 1e4, 1e8])
def test_logits_further_apart_than_float32_cost_more_but_are_finite(value_and_gradient, distance):
    x, target = far_apart(distance)
    arguments = (target, 4, [2], [4])
    exact, _ = value_and_gradient(loss_of_the_sums(*arguments), x)
    value, gradient = value_and_gradient(simple_loss(*arguments), x.astype("float32"))
    assert np.isfinite(value).all()
    assert value[0] >= exact[0] * (1 - 1e-5)
    assert np.isfinite(gradient).all()
    assert gradient.any()


def test_minus_infinity_is_an_impossible_symbol(value_and_gradient):
    x, target = random_case(4, 2, 6, blank=5, seed=9)
    target[:] = [[0, 1]]
    x[:, :4, 3] = x[:, 4:, 4] = -np.inf
    arguments = (target, 4, [2], [4])
    expected = value_and_gradient(loss_of_the_sums(*arguments, blank_id=5), x)
    value, gradient = value_and_gradient(simple_loss(*arguments, blank_id=5), x.astype("float32"))
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 0.25])
def test_padding_of_any_value_changes_nothing(value_and_gradient, scale):
    x, target = random_case(4, 3, 6, blank=0, seed=7)
    settings = {"encoder_only_scale": scale, "predictor_only_scale": scale}
    alone, alone_gradient = value_and_gradient(
        simple_loss(target, 4, [3], [4], **settings), x.astype("float32")
    )
    junk = np.array([np.nan, np.inf, -np.inf, 1e30], "float32")
    padded = np.broadcast_to(junk[:, None, None], (4, 7 + 6, 6)).copy()
    padded[:, :4] = x[:, :4]
    padded[:, 7:11] = x[:, 4:]
    labels = np.array([[*target[0], *tail] for tail in ((0, 0), (-1, 6), (10**6, 1), (2, -5))])
    value, gradient = value_and_gradient(
        simple_loss(labels, 7, [3] * 4, [4] * 4, **settings), padded
    )
    np.testing.assert_allclose(value, alone.repeat(4), rtol=1e-6)
    np.testing.assert_allclose(
        gradient[:, [0, 1, 2, 3, 7, 8, 9, 10]].sum(0) / 4, alone_gradient[0], atol=1e-6
    )
    assert not gradient[:, [4, 5, 6, 11, 12]].any()


def test_rows_without_a_path_or_without_anything(value_and_gradient):
    x, target = random_case(3, 2, 4, blank=0, seed=4, batch=4)
    x[3, :3, target[3, 1]] = -np.inf
    value, gradient = value_and_gradient(
        simple_loss(target, 3, [0, 2, 2, 2], [0, 0, 3, 3]), x.astype("float32")
    )
    assert value[0] == 0
    assert value[1] == value[3] == np.inf
    assert np.isfinite(value[2])
    assert not gradient[[0, 1, 3]].any()


@pytest.mark.parametrize("mode", MODES)
def test_occupancy_is_minus_the_gradient_by_the_arcs(value_and_gradient, mode):
    frames, label_length, frame_length = 6, [4, 2, 4, 3], [6, 5, 0, 6]
    x, target = random_case(frames, 4, 7, blank=0, seed=11, batch=4)
    x[3, :frames, target[3, 1]] = -np.inf  # no path
    log_probs = log_softmax(x[:, :frames, None] + x[:, None, frames:])
    label = np.concatenate([target, np.zeros((4, 1), int)], axis=1)[:, None, :, None]
    arcs = np.stack([log_probs[..., 0], np.take_along_axis(log_probs, label, 3)[..., 0]])
    _, by_arc = value_and_gradient(
        lambda arcs: lattice_cost(arcs[0], arcs[1], frame_length, label_length), arcs
    )

    def occupancy(x):
        _, occupancy = rnnt_loss_simple(
            target, x[:, :frames], x[:, frames:], label_length, frame_length, return_occupancy=True
        )
        return ops.stack(occupancy)

    value, gradient = value_and_gradient(
        # The factor gives tapes something to follow.
        lambda x: occupancy(x) + 0.0 * x[0, 0, 0],
        x.astype("float32"),
        mode,
    )
    np.testing.assert_allclose(value, -by_arc, atol=2e-6)
    assert not gradient.any()
    assert not value[:, 2:].any()


def test_the_cost_with_occupancy_is_the_cost(value_and_gradient):
    x, target = random_case(6, 4, 7, blank=0, seed=11, batch=2)
    x = x.astype("float32")
    loss = simple_loss(target, 6, [4, 2], [6, 5], fastemit_lambda=0.1)
    both = simple_loss(target, 6, [4, 2], [6, 5], fastemit_lambda=0.1, return_occupancy=True)
    expected, expected_gradient = value_and_gradient(lambda x: loss(x) * np.float32([2.0, 0.5]), x)
    value, gradient = value_and_gradient(lambda x: both(x)[0] * np.float32([2.0, 0.5]), x)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)


def test_half_precision_logits_are_computed_in_float32(value_and_gradient):
    x, target = random_case(6, 4, 8, blank=0, seed=5)
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(x, "bfloat16"), "float32"))
    loss = simple_loss(target, 6, [4], [6])

    def loss_of_half(x):
        value = loss(ops.cast(x, "bfloat16"))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        return value

    expected, expected_gradient = value_and_gradient(loss, rounded)
    value, gradient = value_and_gradient(loss_of_half, rounded)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=2**-8)


@pytest.mark.tensorflow_only
def test_no_tensor_is_of_the_size_of_all_logits():
    import tensorflow as tf

    batch, frames, labels, vocabulary = 2, 11, 7, 130

    @tf.function(autograph=False)
    def step(encoder, predictor):
        with tf.GradientTape() as tape:
            tape.watch([encoder, predictor])
            target = np.ones((batch, labels), "int32")
            cost, occupancy = rnnt_loss_simple(
                target,
                encoder,
                predictor,
                [labels] * batch,
                [frames] * batch,
                encoder_only_scale=0.1,
                predictor_only_scale=0.1,
                return_occupancy=True,
            )
        return tape.gradient(cost, [encoder, predictor]), occupancy

    graph = step.get_concrete_function(
        tf.TensorSpec((batch, frames, vocabulary)), tf.TensorSpec((batch, labels + 1, vocabulary))
    ).graph
    sizes = [t.shape.num_elements() for op in graph.get_operations() for t in op.outputs]
    sizes = [size for size in sizes if size is not None]
    assert max(sizes) >= batch * frames * vocabulary
    assert max(sizes) < batch * frames * (labels + 1) * vocabulary / 2


@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_be_checked_in_a_graph_is_nan(value_and_gradient, mode):
    # Illegal rows: the blank as a label, a label too large, one too many labels, and frames.
    numbers = np.array([[1, 0, 2, 4], [1, 5, 2, 4], [1, 2, 3, 4], [1, 2, 2, 5], [1, 2, 2, 4]])

    def cost(x):
        # As part of the differentiated input, so that no value is known while tracing.
        numbers = ops.cast(ops.round(x[:, 0, 5:]), "int32")
        return rnnt_loss_simple(
            numbers[:, :2], x[:, :4, :5], x[:, 4:, :5], numbers[:, 2], numbers[:, 3]
        )

    x = np.zeros((5, 4 + 3, 9), "float32")
    x[:, 0, 5:] = numbers
    value, _ = value_and_gradient(cost, x, mode)
    assert np.isnan(value[:4]).all()
    np.testing.assert_allclose(value[4], 6 * np.log(5) - np.log(10), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.ones((2, 3, 1))}, r"`target`.*rank 2.*\(batch, U\).*\(2, 3, 1\)"),
        (
            {"predictor_logits": np.zeros((2, 3, 5), "float32")},
            r"`predictor_logits`.*same U as `target`.*\(2, 3, 5\).*\(2, 3\)",
        ),
        (
            {"predictor_logits": np.zeros((2, 4, 6), "float32")},
            r"`predictor_logits`.*same vocabulary as `encoder_logits`",
        ),
        ({"encoder_logits": np.zeros((2, 4, 5), "int32")}, r"`encoder_logits`.*float.*int32"),
        ({"target_length": [3, 3, 3]}, r"`target_length`.*same batch.*\(3,\)"),
        ({"blank_id": 5}, r"`blank_id`.*-5 to 4.*blank_id=5"),
        ({"fastemit_lambda": -1.0}, r"`fastemit_lambda`.*-1.0"),
        ({"encoder_only_scale": -0.1}, r"`encoder_only_scale`.*-0.1"),
        ({"encoder_only_scale": 0.6, "predictor_only_scale": 0.6}, r"at most 1 together.*0.6"),
        ({"target_length": [3, 4]}, r"`target_length`.*0 to 3.*target_length\[1\]=4"),
        ({"output_length": [-1, 4]}, r"`output_length`.*0 to 4.*output_length\[0\]=-1"),
        ({"target": [[1, 2, 3], [1, 0, 1]]}, r"`target`.*blank, 0.*target\[1, 1\]=0"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {
        "target": np.ones((2, 3), "int32"),
        "encoder_logits": np.zeros((2, 4, 5), "float32"),
        "predictor_logits": np.zeros((2, 4, 5), "float32"),
        "target_length": [3, 3],
        "output_length": [4, 4],
    }
    with pytest.raises(ValueError, match=message):
        rnnt_loss_simple(**{**arguments, **changes})
