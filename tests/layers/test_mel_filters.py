import numpy as np
import pytest

from keras_contextnet.layers.mel_filters import hertz_to_mel, mel_filters, mel_to_hertz

# 200/3 Hz a mel up to 1 kHz, then 27 mels for a factor of 6.4 (Slaney's Auditory Toolbox).
POINTS = [(0, 0), (60, 0.9), (110, 1.65), (440, 6.6), (1000, 15), (6400, 42), (40960, 69)]


@pytest.mark.parametrize(("hertz", "mel"), POINTS)
def test_scale_at_known_points(hertz, mel):
    np.testing.assert_allclose(hertz_to_mel(hertz), mel, rtol=1e-12)
    np.testing.assert_allclose(mel_to_hertz(mel), hertz, rtol=1e-12)


@pytest.mark.parametrize(
    ("bands", "fft_length", "sample_rate", "low", "high"),
    [(80, 512, 16000, 0.0, 8000.0), (23, 256, 8000, 100.0, 3800.0), (128, 2048, 44100, 20.0, 2e4)],
)
def test_filters_are_triangles_of_unit_area(bands, fft_length, sample_rate, low, high):
    filters = mel_filters(bands, fft_length, sample_rate, low, high)
    bins = np.arange(fft_length // 2 + 1) * sample_rate / fft_length
    mels = np.linspace(hertz_to_mel(low), hertz_to_mel(high), bands + 2)
    assert filters.shape == (fft_length // 2 + 1, bands)
    assert filters.dtype == np.float32
    for band in range(bands):
        left, middle, right = mel_to_hertz(mels[band : band + 3])
        height = 2 / (right - left)
        triangle = np.interp(bins, [left, middle, right], [0, height, 0], left=0, right=0)
        np.testing.assert_allclose(filters[:, band], triangle, rtol=1e-5, atol=1e-9)
