import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.losses import rnnt_loss
from keras_contextnet.losses.pruned import rnnt_loss_pruned
from keras_contextnet.losses.pruning import prune, pruning_bounds
from keras_contextnet.losses.simple import rnnt_loss_simple

EXAMPLES = 15 if keras.backend.backend() == "tensorflow" else 6  # JAX compiles for each
# Under JAX both are the same.
MODES = [pytest.param("graph", marks=pytest.mark.tensorflow_only), "compiled"]


def random_case(frames, labels, vocabulary, blank, seed, batch=1):
    """Logits (batch, T, U + 1, vocabulary) in float64 and targets (batch, U) without the blank."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (batch, frames, labels + 1, vocabulary))
    return logits, (blank + rng.integers(1, vocabulary, (batch, labels))) % vocabulary


def kept_cells(output, bounds, prune_range):
    """(batch, T, prune_range, vocabulary); NaN past the last column."""
    more = ((0, 0), (0, 0), (0, prune_range), (0, 0))
    output = np.pad(output, more, constant_values=np.nan)
    column = np.asarray(bounds)[..., None] + np.arange(prune_range)
    return np.take_along_axis(output, column[..., None], axis=2)


def random_bounds(rng, batch, frames, columns, prune_range):
    """Starts that begin at 0 and never fall, most of them with an end."""
    steps = rng.integers(0, min(prune_range, 3), (batch, frames))
    steps[:, 0] = 0
    return np.minimum(np.cumsum(steps, axis=1), max(columns - prune_range, 0))


def cost_by_frames(output, target, bounds, prune_range, blank):
    """The reference: one utterance, frame by frame, with nothing outside the kept cells."""
    log_probs = output - np.log(np.exp(output).sum(-1, keepdims=True))
    frames, columns, _ = output.shape
    reached = np.full(columns, -np.inf)
    reached[0] = 0
    for t in range(frames):
        outside = (np.arange(columns) < bounds[t]) | (np.arange(columns) >= bounds[t] + prune_range)
        reached[outside] = -np.inf
        for u in range(1, columns):
            if not outside[u]:
                by_label = reached[u - 1] + log_probs[t, u - 1, target[u - 1]]
                reached[u] = np.logaddexp(reached[u], by_label)
        reached = reached + log_probs[t, :, blank]
    return -reached[-1]


@settings(max_examples=EXAMPLES)
@given(
    frames=st.integers(1, 6),
    labels=st.integers(0, 5),
    prune_range=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_sums_over_the_kept_alignments(value_and_gradient, frames, labels, prune_range, seed, data):
    blank = data.draw(st.integers(-5, 4), label="blank_id")
    frame_length = data.draw(st.lists(st.integers(1, frames), min_size=2, max_size=2))
    label_length = data.draw(st.lists(st.integers(0, labels), min_size=2, max_size=2))
    logits, target = random_case(frames, labels, 5, blank % 5, seed, batch=2)
    rng = np.random.default_rng(seed)
    bounds = random_bounds(rng, 2, frames, labels + 1, prune_range)
    arguments = (label_length, frame_length)

    value, gradient = value_and_gradient(
        lambda x: rnnt_loss_pruned(target, x, *arguments, bounds, blank_id=blank),
        kept_cells(logits, bounds, prune_range),
    )
    for row, (u, t) in enumerate(zip(label_length, frame_length, strict=True)):
        expected = cost_by_frames(
            logits[row, :t, : u + 1], target[row], bounds[row], prune_range, blank % 5
        )
        np.testing.assert_allclose(value[row], expected, atol=1e-6)
        assert np.isfinite(gradient[row]).all()
        if np.isinf(expected):
            assert not gradient[row].any()
    full = ops.convert_to_numpy(
        rnnt_loss(target, logits.astype("float32"), *arguments, blank_id=blank)
    )
    assert (value >= full - 1e-4).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("more", [0, 3])
def test_with_all_columns_it_is_the_full_loss(value_and_gradient, mode, more):
    logits, target = random_case(7, 4, 6, blank=5, seed=1, batch=3)
    settings = {"blank_id": -1, "fastemit_lambda": 0.1}
    lengths = ([4, 0, 3], [7, 4, 1])
    bounds = np.zeros((3, 7), "int32")
    cells = kept_cells(logits, bounds, 5 + more).astype("float32")

    expected = value_and_gradient(
        lambda x: rnnt_loss(target, x, *lengths, **settings), logits.astype("float32"), mode
    )
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss_pruned(target, x, *lengths, bounds, **settings), cells, mode
    )
    np.testing.assert_array_equal(value, expected[0])
    np.testing.assert_allclose(gradient[:, :, :5], expected[1], atol=1e-7)
    assert not gradient[:, :, 5:].any()


@pytest.mark.parametrize("mode", MODES)
def test_gradient_agrees_with_finite_differences(value_and_gradient, mode):
    logits, target = random_case(6, 5, 4, blank=0, seed=3)
    bounds = np.array([[0, 1, 1, 2, 3, 3]])
    cells = kept_cells(logits, bounds, 3)

    def cost(x):
        batch = ops.shape(x)[0]
        rows = [ops.broadcast_to(value, (batch, *value.shape[1:])) for value in (target, bounds)]
        lengths = ops.full((batch,), 5, "int32"), ops.full((batch,), 6, "int32")
        return rnnt_loss_pruned(rows[0], x, *lengths, rows[1])

    places = np.random.default_rng(0).choice(cells.size, 30, replace=False)
    step = np.zeros((30, *cells.shape[1:]))
    step[(np.arange(30), *np.unravel_index(places, cells.shape[1:]))] = 1e-5
    _, gradient = value_and_gradient(cost, cells, mode)
    costs, _ = value_and_gradient(cost, np.concatenate([cells + step, cells - step]), mode)
    differences = (costs[:30] - costs[30:]) / 2e-5
    np.testing.assert_allclose(gradient[0].flat[places], differences, atol=1e-7)


def test_too_few_columns_for_the_labels_cost_infinity_and_move_nothing(value_and_gradient):
    # Two frames of three columns each end at column 4 at the latest.
    logits, target = random_case(2, 5, 6, blank=0, seed=2, batch=2)
    target_length, output_length = [5, 4], [2, 2]
    flat = np.full((2, 2, 6), 1 / 6, "float32")
    bounds = ops.convert_to_numpy(pruning_bounds(flat, flat, target_length, output_length, 3))
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss_pruned(target, x, target_length, output_length, bounds),
        kept_cells(logits, bounds, 3).astype("float32"),
    )
    assert value[0] == np.inf
    assert not gradient[0].any()
    assert np.isfinite(value[1])
    assert gradient[1].any()


def test_rows_without_frames_have_no_gradient(value_and_gradient):
    logits, target = random_case(3, 2, 4, blank=0, seed=4, batch=3)
    bounds = np.zeros((3, 3), "int32")
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss_pruned(target, x, [0, 2, 2], [0, 0, 3], bounds), logits
    )
    assert value[0] == 0
    assert value[1] == np.inf
    assert np.isfinite(value[2])
    assert not gradient[:2].any()


def test_padding_of_any_value_changes_nothing(value_and_gradient):
    logits, target = random_case(4, 3, 6, blank=0, seed=7)
    bounds = np.array([[0, 0, 1, 2]])
    cells = kept_cells(logits, bounds, 3).astype("float32")  # NaN in a column past the last
    alone, alone_gradient = value_and_gradient(
        lambda x: rnnt_loss_pruned(target, x, [3], [4], bounds), np.nan_to_num(cells)
    )
    junk = np.array([np.nan, np.inf, -np.inf, 1e30], "float32")
    padded = np.broadcast_to(junk[:, None, None, None], (4, 6, 3, 6)).copy()
    padded[:, :4] = np.where(np.isnan(cells), junk[:, None, None, None], cells)
    labels = np.array([[*target[0], *tail] for tail in ((0, 0), (-1, 6), (10**6, 1), (2, -5))])
    bounds = np.array([[0, 0, 1, 2, 2, 2]]).repeat(4, axis=0)
    value, gradient = value_and_gradient(
        lambda x: rnnt_loss_pruned(labels, x, [3] * 4, [4] * 4, bounds), padded
    )
    np.testing.assert_allclose(value, alone.repeat(4), rtol=1e-6)
    np.testing.assert_allclose(gradient[:, :4], alone_gradient.repeat(4, axis=0), atol=1e-6)
    assert not gradient[:, 4:].any()


def test_half_precision_logits_are_computed_in_float32(value_and_gradient):
    logits, target = random_case(6, 4, 8, blank=0, seed=5)
    bounds = np.array([[0, 0, 1, 1, 2, 2]])
    half = ops.cast(kept_cells(logits, bounds, 3), "bfloat16")
    rounded = ops.convert_to_numpy(ops.cast(half, "float32"))

    def cost(x):
        return rnnt_loss_pruned(target, x, [4], [6], bounds)

    def cost_of_half(x):
        value = cost(ops.cast(x, "bfloat16"))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        return value

    expected, expected_gradient = value_and_gradient(cost, rounded)
    value, gradient = value_and_gradient(cost_of_half, rounded)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=2**-9)


@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_be_checked_in_a_graph_is_nan(value_and_gradient, mode):
    # Illegal rows: the blank as a label, a label too large, one too many labels, and frames.
    numbers = np.array([[1, 0, 2, 4], [1, 5, 2, 4], [1, 2, 3, 4], [1, 2, 2, 5], [1, 2, 2, 4]])

    def cost(x):
        # As part of the differentiated input, so that no value is known while tracing.
        numbers = ops.cast(ops.round(x[:, 0, 0, 5:]), "int32")
        bounds = ops.zeros(ops.shape(x)[:2], "int32")
        return rnnt_loss_pruned(numbers[:, :2], x[..., :5], numbers[:, 2], numbers[:, 3], bounds)

    x = np.zeros((5, 4, 3, 9), "float32")
    x[:, 0, 0, 5:] = numbers
    value, _ = value_and_gradient(cost, x, mode)
    assert np.isnan(value[:4]).all()
    np.testing.assert_allclose(value[4], 6 * np.log(5) - np.log(10), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_the_sum_of_both_losses_descends(value_and_gradient, mode):
    rng = np.random.default_rng(0)
    frames, labels, vocabulary = 8, 5, 7
    target = rng.integers(1, vocabulary, (2, labels))
    lengths = {"target_length": [5, 3], "output_length": [8, 6]}
    weight = rng.normal(0, 0.3, (vocabulary, vocabulary)).astype("float32")

    def loss(x):
        encoder, predictor = x[:, :frames], x[:, frames:]
        simple, occupancy = rnnt_loss_simple(
            target, encoder, predictor, **lengths, return_occupancy=True
        )
        bounds = pruning_bounds(*occupancy, **lengths, prune_range=3)
        encoder, predictor = prune(encoder, predictor, bounds, 3)
        logits = encoder + predictor + ops.tanh(encoder + predictor) @ weight
        return 0.5 * simple + rnnt_loss_pruned(target, logits, **lengths, bounds=bounds)

    x = rng.normal(size=(2, frames + labels + 1, vocabulary)).astype("float32")
    first, gradient = value_and_gradient(loss, x, mode)
    assert not gradient[1, 6:8].any()
    assert not gradient[1, frames + 4 :].any()
    after, _ = value_and_gradient(loss, x - 0.1 * gradient, mode)
    assert (after < 0.9 * first).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": np.zeros((2, 4, 5), "float32")}, r"`output`.*rank 4.*prune_range.*\(2, 4, 5\)"),
        ({"output": np.zeros((2, 4, 3, 5), "int32")}, r"`output`.*float.*int32"),
        ({"bounds": np.zeros((2, 5))}, r"`bounds`.*same T as `output`.*\(2, 5\)"),
        ({"blank_id": 5}, r"`blank_id`.*-5 to 4.*blank_id=5"),
        ({"fastemit_lambda": -1.0}, r"`fastemit_lambda`.*-1.0"),
        ({"target_length": [3, 4]}, r"`target_length`.*0 to 3.*target_length\[1\]=4"),
        ({"target": [[1, 2, 3], [1, 0, 1]]}, r"`target`.*blank, 0.*target\[1, 1\]=0"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {
        "target": np.ones((2, 3), "int32"),
        "output": np.zeros((2, 4, 3, 5), "float32"),
        "target_length": [3, 3],
        "output_length": [4, 4],
        "bounds": np.zeros((2, 4)),
    }
    with pytest.raises(ValueError, match=message):
        rnnt_loss_pruned(**{**arguments, **changes})
