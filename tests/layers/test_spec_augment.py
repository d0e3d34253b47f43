import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_contextnet.layers import SpecAugment

BLANK = -7.0


@pytest.fixture(scope="module")
def blanked(call):
    """Tells which cells of an input of ones an augmentation sets to BLANK."""

    def blanked(layer, shape, mask=None):
        y = np.asarray(call(layer, np.ones(shape, "float32"), mask=mask, training=True))
        assert np.isin(y, [1.0, BLANK]).all()
        return y == BLANK

    return blanked


def intervals(rows):
    """Width and start of the one run of true in each row; start is -1 where there is none."""
    width = rows.sum(axis=1)
    start = np.where(width > 0, rows.argmax(axis=1), -1)
    for row, w, s in zip(rows, width, start, strict=True):
        assert row[s : s + w].all(), "a mask is one stretch"
    return width, start


def expected_share(rng, count, width, size, trials=20000):
    """Mean share that `count` stretches of 0 ... width cells cover of `size` cells."""
    cells = np.arange(size)
    covered = np.zeros((trials, size), bool)
    for _ in range(count):
        w = rng.integers(0, width + 1, size=trials)
        s = rng.integers(0, size - w + 1)
        covered |= (cells >= s[:, None]) & (cells < (s + w)[:, None])
    return covered.mean()


# Shapes with frequency masks, time masks and time ratio; few, as JAX compiles for each.
SETTINGS = [
    ((1, 1, 1), (2, 10, 0.05)),
    ((2, 1, 80), (0, 2, 1.0)),
    ((3, 19, 4), (3, 1, 0.3)),
    ((2, 37, 30), (2, 10, 0.05)),
    ((2, 37, 30), (0, 2, 1.0)),
    ((2, 40, 5), (1, 0, 0.0)),
]


@pytest.fixture(scope="module")
def layers():
    return [
        SpecAugment(bands, 27, times, ratio, mask_value=BLANK, seed=1)
        for _, (bands, times, ratio) in SETTINGS
    ]


@given(setting=st.integers(0, len(SETTINGS) - 1), data=st.data())
@settings(max_examples=60)
def test_masks_are_bounded_and_leave_padding_alone(blanked, layers, setting, data):
    layer, (shape, (bands_masked, times_masked, time_ratio)) = layers[setting], SETTINGS[setting]
    batch, frames, _ = shape
    sizes = st.lists(st.integers(0, frames), min_size=batch, max_size=batch)
    lengths = np.array(data.draw(sizes, label="lengths"))
    mask = np.arange(frames) < lengths[:, None]
    cells = blanked(layer, shape, mask)
    # A frame of padding is blanked by frequency masks alone: the bands that all frames share.
    bands = cells.all(axis=1)  # (batch, bands)
    by_time = (cells & ~bands[:, None]).any(axis=2)  # (batch, frames)
    assert not by_time[~mask].any()
    assert (by_time.sum(axis=1) <= times_masked * np.floor(time_ratio * lengths)).all()
    if bands_masked == 0 and (lengths < frames).all():
        assert not bands.any()


@pytest.mark.parametrize("frames", [1, 2, 5, 19])
def test_defaults_take_clips_under_200_milliseconds(frames, call):
    x = np.ones((2, frames, 80), "float32")
    y = np.asarray(call(SpecAugment(seed=0), x, training=True))
    assert y.shape == x.shape
    assert ((y == 1) | (y == 0)).all()
    assert (y == 1).any()


def test_time_masks_scale_with_the_length_of_each_utterance(blanked):
    lengths = np.repeat([100, 40], 500)
    mask = np.arange(100) < lengths[:, None]
    layer = SpecAugment(0, 0, 1, 0.1, mask_value=BLANK, seed=1)
    cells = blanked(layer, (1000, 100, 1), mask)[..., 0]
    for length, widest in ((100, 10), (40, 4)):
        width, start = intervals(cells[lengths == length])
        assert set(width) == set(range(widest + 1)), "each width up to the widest is drawn"
        counts = np.bincount(width, minlength=widest + 1)
        assert counts.min() > 0.5 * 500 / (widest + 1)
        assert (start + width).max() == length, "the last frame can be masked"
        assert start[width > 0].min() == 0


def test_frequency_masks_are_uniform_in_width_and_place(blanked):
    layer = SpecAugment(1, 27, 0, 0.0, mask_value=BLANK, seed=1)
    cells = blanked(layer, (3000, 1, 80))[:, 0]
    width, start = intervals(cells)
    assert set(width) == set(range(28))
    assert abs(width.mean() - 13.5) < 0.5
    place = start[width > 0] / (80 - width[width > 0])
    assert place.min() == 0
    assert place.max() == 1
    assert abs(place.mean() - 0.5) < 0.02


def test_share_of_blanked_cells_with_the_papers_settings(blanked, rng):
    cells = blanked(SpecAugment(mask_value=BLANK, seed=2), (400, 200, 80))
    by_band = expected_share(rng, 2, 27, 80)
    by_frame = expected_share(rng, 10, 10, 200)
    assert abs(cells.mean() - (1 - (1 - by_band) * (1 - by_frame))) < 0.02


def test_wide_masks_fit_few_bands(blanked):
    cells = blanked(SpecAugment(1, 27, 0, 0.0, mask_value=BLANK, seed=0), (200, 3, 5))
    width, _ = intervals(cells[:, 0])
    assert set(width) == set(range(6))


def test_seed_makes_the_sequence_of_masks_reproducible(blanked):
    shape = (4, 50, 20)
    first, second = SpecAugment(mask_value=BLANK, seed=5), SpecAugment(mask_value=BLANK, seed=5)
    draws = [blanked(first, shape) for _ in range(3)]
    for draw in draws:
        np.testing.assert_array_equal(blanked(second, shape), draw)
    assert (draws[0] != draws[1]).any()
    assert (draws[0] != blanked(SpecAugment(mask_value=BLANK, seed=6), shape)).any()
    assert (draws[0][0] != draws[0][1]).any(), "utterances draw their own masks"


def test_masks_differ_from_step_to_step_in_a_compiled_model(call):
    x = np.ones((1, 100, 20), "float32")
    layer = SpecAugment(seed=1)
    layer.build(x.shape)
    first, second = (np.asarray(call(layer, x, training=True)) for _ in range(2))
    assert (first != second).any()


def test_blanked_cells_pass_no_gradient(gradient):
    x = np.ones((2, 40, 10), "float32")
    layer = SpecAugment(mask_value=BLANK, seed=1)
    layer.build(x.shape)
    grad = gradient(layer, x, None, np.ones_like(x), training=True)
    assert set(np.unique(grad)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("arguments", "training"),
    [
        ({}, False),
        ({"frequency_masks": 0, "time_masks": 0}, True),
        ({"frequency_width": 0, "time_ratio": 0.0}, True),
    ],
)
def test_identity(arguments, training, rng, call):
    x = rng.normal(size=(2, 30, 8)).astype("float32")
    y = call(SpecAugment(**arguments), x, training=training)
    np.testing.assert_array_equal(y, x)


def test_half_precision_draws_what_single_precision_draws(blanked):
    single = blanked(SpecAugment(mask_value=BLANK, seed=1), (2, 3000, 8))
    half = blanked(SpecAugment(mask_value=BLANK, seed=1, dtype="mixed_float16"), (2, 3000, 8))
    np.testing.assert_array_equal(single, half)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("frequency_masks", -1),
        ("frequency_width", -1),
        ("time_masks", 1.5),
        ("time_masks", -2),
        ("time_ratio", -0.1),
        ("time_ratio", 1.1),
    ],
)
def test_errors_name_the_argument(argument, value):
    with pytest.raises(ValueError, match=rf"Expected `{argument}` .*Received: {argument}={value}"):
        SpecAugment(**{argument: value})


@pytest.mark.tensorflow_only
def test_any_length_in_a_tf_data_pipeline():
    import tensorflow as tf

    layer = SpecAugment(seed=1)
    layer.build((None, None, 8))
    dataset = tf.data.Dataset.from_generator(
        lambda: (np.ones((n, 8), "float32") for n in (1, 30, 100)),
        output_signature=tf.TensorSpec((None, 8)),
    )
    dataset = dataset.padded_batch(2).map(lambda x: layer(x, training=True))
    assert [tuple(x.shape) for x in dataset] == [(2, 30, 8), (1, 100, 8)]


def test_trains_in_a_model(rng):
    model = keras.Sequential([keras.Input((None, 8)), SpecAugment(seed=1), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(rng.normal(size=(2, 30, 8)), np.ones((2, 30, 1)), verbose=0)
