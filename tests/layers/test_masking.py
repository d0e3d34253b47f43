import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.layers.masking import (
    check_sequence,
    frame_count,
    frame_weights,
    length_from_mask,
    mask_from_length,
    row_weights,
    stride_length,
    stride_mask,
    zero_padding,
)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=4), st.integers(1, 5))
def test_lengths_masks_and_strides_agree(lengths, strides):
    mask = ops.convert_to_numpy(mask_from_length(np.array(lengths), 12))
    assert mask.dtype == bool
    assert mask.tolist() == [[t < length for t in range(12)] for length in lengths]
    np.testing.assert_array_equal(length_from_mask(mask), lengths)
    strided = stride_mask(mask, strides)
    assert strided.shape[1] == stride_length(12, strides)
    expected = [stride_length(length, strides) for length in lengths]
    np.testing.assert_array_equal(length_from_mask(strided), expected)
    assert expected == [len(range(0, length, strides)) for length in lengths]


def test_nothing_is_known_of_no_mask_and_no_length():
    assert stride_mask(None, 2) is None
    assert stride_length(None, 2) is None
    x = np.ones((1, 2, 3))
    assert zero_padding(x, None) is x


@pytest.mark.parametrize("padding", [5.0, np.inf, np.nan])
def test_zero_padding_keeps_real_frames_and_their_zeros(padding):
    x = np.array([[[1.0], [0.0], [padding]]], "float32")
    y = zero_padding(x, np.array([[True, True, False]]))
    np.testing.assert_array_equal(y, [[[1.0], [0.0], [0.0]]])
    rows = zero_padding(x[0], np.array([[True, True, False]]))
    np.testing.assert_array_equal(rows, y[0])
    assert zero_padding(x, np.array([[True, True, False]]), done=True) is x


def test_weights_are_one_inside_the_mask():
    mask = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(frame_weights(mask, "float16"), [[[1], [0]], [[0], [0]]])
    np.testing.assert_array_equal(row_weights(mask), [[1], [0], [0], [0]])
    assert float(frame_count(mask)) == 1
    assert float(frame_count(mask, 3.0)) == 3
    assert float(frame_count(~mask, 2.0)) == 3


@pytest.mark.tensorflow_only
def test_a_graph_has_the_weights_of_a_mask_once():
    import tensorflow as tf

    @tf.function
    def function(mask):
        weights = frame_weights(mask, "float32")
        assert frame_weights(mask, "float32") is weights
        assert frame_weights(mask, "float16").dtype == "float16"
        assert frame_weights(mask[:, :1], "float32") is not weights
        # A branch's tensors do not exist outside of it.
        inner = tf.cond(mask[0, 0], lambda: frame_weights(mask, "float32"), lambda: 2 * weights)
        return inner + frame_weights(mask, "float32")

    for _ in range(2):  # two graphs
        mask = tf.constant([[True, False]])
        np.testing.assert_array_equal(function(mask), [[[2], [0]]])
        np.testing.assert_array_equal(function(~mask), [[[0], [3]]])
        function = tf.function(function.python_function)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, None), (2, 3, 4, 5)])
def test_other_shapes_are_an_error(shape):
    with pytest.raises(
        ValueError, match=r"Name expects .*\(batch, time, channels\).*Received: shape"
    ):
        check_sequence("Name", shape)


@pytest.mark.tensorflow_only
def test_sizes_may_be_tensors():
    import tensorflow as tf

    function = tf.function(lambda length: mask_from_length(length, tf.reduce_max(length)))
    np.testing.assert_array_equal(function(tf.constant([2, 1])), [[True, True], [True, False]])
