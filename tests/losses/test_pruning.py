import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.losses.pruning import prune, pruning_bounds

EXAMPLES = 60 if keras.backend.backend() == "tensorflow" else 5  # JAX compiles for each


def bounds_of(*arguments):
    return ops.convert_to_numpy(pruning_bounds(*arguments))


def check_bounds(bounds, target_length, output_length, prune_range):
    assert bounds.dtype == np.int32
    steps = np.diff(bounds, axis=1)
    assert (bounds[:, 0] == 0).all()
    assert (steps >= 0).all()
    assert (steps < prune_range).all()
    for row, (u, t) in enumerate(zip(target_length, output_length, strict=True)):
        if t == 0:
            continue
        last = bounds[row, t - 1]
        if u <= (prune_range - 1) * t:
            assert last <= u < last + prune_range
            assert last == max(u - prune_range + 1, 0)
        assert (bounds[row, t:] >= last).all()


@settings(max_examples=EXAMPLES)
@given(
    frames=st.integers(1, 9),
    labels=st.integers(0, 9),
    prune_range=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
def test_bounds_of_any_occupancies_can_be_followed(frames, labels, prune_range, seed, data):
    output_length = data.draw(st.lists(st.integers(0, frames), min_size=3, max_size=3))
    target_length = data.draw(st.lists(st.integers(0, labels), min_size=3, max_size=3))
    rng = np.random.default_rng(seed)
    blank, label = rng.gamma(0.1, 1.0, (2, 3, frames, labels + 1)).astype("float32")
    bounds = bounds_of(blank, label, target_length, output_length, prune_range)
    check_bounds(bounds, target_length, output_length, prune_range)


def occupancy_of(columns, labels):
    """Both occupancies (1, T, U + 1) of one path, from the column of each frame's blank."""
    blank, label = np.zeros((2, 1, len(columns), labels + 1), "float32")
    column = 0
    for frame, end in enumerate(columns):
        label[0, frame, column:end] = 1
        blank[0, frame, end] = 1
        column = end
    return blank, label


@settings(max_examples=EXAMPLES)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 2))
def test_a_path_that_fits_is_kept_as_a_whole(emitted, more):
    columns = np.cumsum(emitted)
    prune_range = 4 + more
    labels = int(columns[-1])
    arguments = ([labels], [len(columns)], prune_range)
    (bounds,) = bounds_of(*occupancy_of(columns, labels), *arguments)
    entered = np.concatenate([[0], columns[:-1]])
    assert (bounds <= entered).all()
    assert (columns < bounds + prune_range).all()


def test_each_frame_keeps_the_window_of_most_probability():
    # 0.6, 0.25 and 0.15 of the probability follow three paths that part at frame 2.
    paths = [
        occupancy_of(columns, 5) for columns in ([0, 1, 4, 5, 5], [0, 1, 1, 3, 5], [0, 1, 3, 3, 5])
    ]
    blank, label = (0.6 * a + 0.25 * b + 0.15 * c for a, b, c in zip(*paths, strict=True))
    (bounds,) = bounds_of(blank, label, [5], [5], 3)
    # Most of it leaves frame 2 at column 4. But it has come there from column 1, which a window
    # that reaches to 4 does not hold: what leaves at columns 1 and 3 is more than nothing.
    np.testing.assert_array_equal(bounds, [0, 0, 1, 3, 3])


def test_batches_agree_with_rows_alone():
    rng = np.random.default_rng(3)
    blank, label = rng.gamma(0.1, 1.0, (2, 4, 9, 8)).astype("float32")
    target_length, output_length = [7, 3, 0, 5], [9, 6, 2, 9]
    together = bounds_of(blank, label, target_length, output_length, 3)
    for row, (u, t) in enumerate(zip(target_length, output_length, strict=True)):
        cells = np.s_[row : row + 1, :t, : u + 1]
        alone = bounds_of(blank[cells], label[cells], [u], [t], 3)
        np.testing.assert_array_equal(together[row, :t], alone[0])


def test_nan_gives_bounds_all_the_same():
    # As of an utterance whose loss is NaN, beside others whose losses are not.
    nan = np.full((1, 6, 5), np.nan, "float32")
    check_bounds(bounds_of(nan, nan, [4], [6], 3), [4], [6], 3)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("compiled", [False, True])
def test_compiled_gives_what_eager_gives(compiled):
    import tensorflow as tf

    shape = [None, None, None]
    signature = [tf.TensorSpec(shape), tf.TensorSpec(shape), *[tf.TensorSpec([None], "int32")] * 2]
    bounds = tf.function(
        lambda *arguments: pruning_bounds(*arguments, 3),
        input_signature=signature,
        jit_compile=compiled,
    )
    rng = np.random.default_rng(3)
    for frames, labels in [(9, 7), (1, 0), (4, 11)]:
        blank, label = rng.gamma(0.1, 1.0, (2, 2, frames, labels + 1)).astype("float32")
        lengths = np.array([labels, labels // 2], "int32"), np.array([frames, 1], "int32")
        expected = bounds_of(blank, label, *lengths, 3)
        np.testing.assert_array_equal(bounds(blank, label, *lengths), expected)


@pytest.mark.jax_only
def test_runs_under_jit():
    import jax

    blank, label = occupancy_of([0, 1, 1, 3, 5], 5)
    bounds = jax.jit(lambda *arguments: pruning_bounds(*arguments, 3))
    expected = bounds_of(blank, label, [5], [5], 3)
    np.testing.assert_array_equal(bounds(blank, label, np.array([5]), np.array([5])), expected)


def test_prune_reads_the_kept_cells(value_and_gradient):
    rng = np.random.default_rng(0)
    encoder = rng.normal(size=(2, 4, 6)).astype("float32")
    predictor = rng.normal(size=(2, 5, 3)).astype("float32")
    bounds = np.array([[0, 0, 1, 3], [0, 2, 2, 2]])
    weight = rng.normal(size=(2, 4, 3, 3)).astype("float32")
    column = np.minimum(bounds[..., None] + np.arange(3), 4)
    expected = np.stack([predictor[row][column[row]] for row in range(2)])

    kept_encoder, kept = prune(encoder, predictor, bounds, 3)
    np.testing.assert_array_equal(ops.convert_to_numpy(kept_encoder), encoder[:, :, None])
    np.testing.assert_array_equal(ops.convert_to_numpy(kept), expected)

    _, gradient = value_and_gradient(
        lambda x: prune(encoder, x, bounds, 3)[1] * weight, predictor, "graph"
    )
    expected = np.zeros_like(predictor)
    for row in range(2):
        np.add.at(expected[row], column[row], weight[row])
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: pruning_bounds(x, x[:, :, :3], [1, 1], [1, 1], 3),
            r"`label_occupancy`.*same U as `blank_occupancy`.*\(2, 4, 3\)",
        ),
        (lambda x: pruning_bounds(x, x, [1, 1], [1], 3), r"`output_length`.*same batch.*\(1,\)"),
        (lambda x: pruning_bounds(x, x, [1, 1], [1, 1], 0), r"`prune_range`.*1 or more.*0"),
        (lambda x: prune(x, x, [[0, 0, 0]] * 2, 3), r"`bounds`.*same T as `encoder_output`"),
        (lambda x: prune(x, x[0], [[0] * 4] * 2, 3), r"`predictor_output`.*rank 3"),
        (lambda x: prune(x, x, [[0] * 4] * 2, 0), r"`prune_range`.*1 or more.*0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((2, 4, 5), "float32"))
