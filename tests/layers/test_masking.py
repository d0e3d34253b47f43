import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.layers.masking import (
    check_sequence,
    length_from_mask,
    mask_from_length,
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
