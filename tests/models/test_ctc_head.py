import keras
import numpy as np
import pytest

import keras_contextnet as kc


def test_is_linear_in_each_frame(rng):
    head = kc.CTCHead(5)
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    logits = np.asarray(head(x))
    kernel, bias = head.get_weights()
    np.testing.assert_allclose(logits, x @ kernel + bias, rtol=1e-5, atol=1e-6)
    assert head.compute_output_shape((2, 3, 4)) == logits.shape == (2, 3, 5)
    assert head.blank_id == 4


def test_config_round_trip():
    head = kc.CTCHead(6, blank_id=0, use_bias=False, dtype="mixed_bfloat16", name="head")
    again = keras.layers.deserialize(keras.layers.serialize(head))
    assert type(again) is kc.CTCHead
    assert again.get_config() == head.get_config()
    assert (again.blank_id, again.projection.use_bias) == (0, False)
    assert again.projection.dtype_policy.name == "mixed_bfloat16"


def test_blank_outside_the_vocabulary_is_an_error():
    with pytest.raises(ValueError, match=r"`blank_id` in \[0, 6\).*blank_id=6"):
        kc.CTCHead(6, blank_id=6)
