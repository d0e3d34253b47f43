import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.data.augmentation.convolution import convolve


@given(st.integers(1, 5000), st.integers(1, 3000), st.integers(0, 99))
def test_against_the_sum(samples, taps, seed):
    generator = np.random.default_rng(seed)
    waveform = generator.uniform(-1, 1, samples).astype("float32")
    response = generator.uniform(-1, 1, taps).astype("float32")
    received = convolve(waveform, response)
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, np.convolve(waveform, response), atol=1e-3)


@pytest.mark.parametrize(("samples", "taps"), [(40000, 9600), (20000, 4097), (8193, 8192)])
def test_against_the_sum_in_several_blocks(samples, taps):
    generator = np.random.default_rng(0)
    waveform = generator.uniform(-1, 1, samples).astype("float32")
    response = generator.uniform(-1, 1, taps).astype("float32")
    expected = np.convolve(waveform.astype("float64"), response)
    np.testing.assert_allclose(convolve(waveform, response), expected, atol=1e-3)
