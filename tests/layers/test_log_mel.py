import numpy as np
import pytest

from keras_contextnet.layers import LogMelSpectrogram
from keras_contextnet.layers.mel_filters import mel_filters


def reference(
    waveform,
    normalize=True,
    sample_rate=16000,
    num_bands=80,
    window_seconds=0.025,
    hop_seconds=0.01,
    fft_length=512,
    preemphasis=0.97,
    log_offset=2.0**-24,
    log_floor=0.0,
    window_function="hann",
    frame_count="ceil",
    pad_mode="constant",
):
    """One utterance, frame by frame in float64, each frame in the middle of its transform."""
    window, hop = round(window_seconds * sample_rate), round(hop_seconds * sample_rate)
    angle = 2 * np.pi * np.arange(window) / (window - 1)
    taper = {
        "hann": 0.5 - 0.5 * np.cos(angle),
        "hamming": 0.54 - 0.46 * np.cos(angle),
        "blackman": 0.42 - 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle),
        "bartlett": 1 - np.abs(angle / np.pi - 1),
    }[window_function]
    frames = {
        "ceil": -(-len(waveform) // hop),
        "floor": len(waveform) // hop,
        "floor_plus_one": len(waveform) // hop + 1,
    }[frame_count]
    filters = mel_filters(num_bands, fft_length, sample_rate, 0.0, sample_rate / 2)
    x = waveform.astype("float64")
    emphasized = [x[t] - (preemphasis * x[t - 1] if t else 0) for t in range(len(x))]
    rows = []
    last = len(x) - 1
    for centre in range(0, frames * hop, hop):
        buffer = np.zeros(fft_length)
        for n in range(window):
            t = centre - fft_length // 2 + (fft_length - window) // 2 + n
            if pad_mode == "reflect":
                t = last - abs(last - abs(t))
            if 0 <= t <= last:
                buffer[(fft_length - window) // 2 + n] = taper[n] * emphasized[t]
        power = np.abs(np.fft.rfft(buffer)) ** 2
        rows.append(np.log(np.maximum(power @ filters, log_floor) + log_offset))
    features = np.array(rows)
    if not normalize:
        return features
    deviation = features.std(axis=0, ddof=1) if len(features) > 1 else 0.0
    return (features - features.mean(axis=0)) / (deviation + 1e-5)


@pytest.fixture
def waveform(rng):
    """A second of a gliding tone over noise."""
    t = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * (200 * t + 1500 * t**2)) * np.exp(-t)
    return (0.3 * tone + 0.02 * rng.normal(size=16000)).astype("float32")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"preemphasis": 0.0, "num_bands": 40},
        {"window_seconds": 0.02, "hop_seconds": 0.02, "fft_length": 320},
        {"window_seconds": 0.02, "fft_length": 400},
        {"window_seconds": 0.0201875, "hop_seconds": 0.0125},
        {"frame_count": "floor", "window_function": "hamming"},
        {"frame_count": "floor_plus_one", "pad_mode": "reflect"},
        {"frame_count": "floor", "pad_mode": "reflect", "window_seconds": 0.0201875},
        {"window_function": "blackman", "hop_seconds": 0.025, "frame_count": "floor"},
        {"window_function": "bartlett", "log_floor": 1e-3, "log_offset": 0.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("samples", [1759, 1760, 1761])
def test_matches_the_definition(samples, arguments, waveform, call):
    x = waveform[None, :samples]
    features = call(LogMelSpectrogram(normalize=False, **arguments), x)
    expected = reference(x[0], normalize=False, **arguments)
    np.testing.assert_allclose(features[0], expected, rtol=1e-5, atol=1e-4)


def test_normalized_features_match_the_definition(waveform, call):
    features = np.asarray(call(LogMelSpectrogram(), waveform[None]))
    assert features.shape == (1, 100, 80)
    np.testing.assert_allclose(features[0], reference(waveform), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(features.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(features.std(axis=1, ddof=1), 1, atol=1e-3)


def test_tone_peaks_in_the_band_around_it(call):
    t = np.arange(8000) / 16000
    features = call(
        LogMelSpectrogram(normalize=False, preemphasis=0.0),
        np.sin(2 * np.pi * 1000 * t)[None].astype("float32"),
    )
    centres = mel_filters(80, 512, 16000, 0.0, 8000.0).argmax(axis=0) * 16000 / 512  # Hz
    peak = np.asarray(features)[0, 25].argmax()
    assert abs(centres[peak] - 1000) <= 16000 / 512


@pytest.mark.parametrize("samples", [1, 2, 159, 160, 161])
def test_shortest_waveforms(samples, waveform, call):
    features = np.asarray(call(LogMelSpectrogram(), waveform[None, :samples]))
    assert features.shape == (1, -(-samples // 160), 80)
    assert np.isfinite(features).all()


def test_digital_silence_is_finite_and_zero_when_normalized(call):
    x = np.zeros((1, 1600), "float32")
    np.testing.assert_allclose(
        call(LogMelSpectrogram(normalize=False), x), -24 * np.log(2), rtol=1e-5
    )
    np.testing.assert_array_equal(call(LogMelSpectrogram(), x), np.zeros((1, 10, 80)))


def test_padding_and_empty_utterances_are_zero(waveform, call):
    x = np.stack([waveform[:3200]] * 2)
    mask = np.arange(3200) < np.array([[1601], [0]])
    layer = LogMelSpectrogram()
    features = np.asarray(call(layer, x, mask=mask))
    np.testing.assert_allclose(features[0, :11], reference(x[0, :1601]), rtol=1e-4, atol=1e-4)
    assert (features[0, 11:] == 0).all()
    assert (features[1] == 0).all()
    assert np.asarray(layer.compute_mask(x, mask)).sum(axis=1).tolist() == [11, 0]


@pytest.mark.parametrize(
    ("frame_count", "frames"), [("ceil", [21, 20, 20, 0]), ("floor", [20, 20, 19, 0])]
)
def test_masks_count_frames(frame_count, frames, waveform):
    samples = np.array([[3201], [3200], [3199], [0]])
    mask = np.arange(3360) < samples
    layer = LogMelSpectrogram(frame_count=frame_count)
    counted = np.asarray(layer.compute_mask(None, mask)).sum(axis=1)
    assert counted.tolist() == frames


def test_one_frame_more_than_whole_hops_but_none_of_nothing():
    mask = np.arange(3360) < np.array([[3360], [3200], [3199], [1], [0]])
    layer = LogMelSpectrogram(frame_count="floor_plus_one")
    assert np.asarray(layer.compute_mask(None, mask)).sum(axis=1).tolist() == [22, 21, 20, 1, 0]


def test_reflection_is_at_the_ends_of_the_array(waveform, call):
    """What NeMo until 2.4 does: padding is audio like any other, of zeros."""
    layer = LogMelSpectrogram(normalize=False, pad_mode="reflect", frame_count="floor_plus_one")
    assert layer.depends_on_padding
    assert not LogMelSpectrogram().depends_on_padding
    mask = np.arange(3200) < np.array([[1600]])
    padded = np.asarray(call(layer, waveform[None, :3200], mask=mask))[0, :11]
    arguments = {"normalize": False, "frame_count": "floor_plus_one"}
    reflected = reference(waveform[:1600], pad_mode="reflect", **arguments)
    behind_zeros = reference(np.pad(waveform[:1600], (0, 1600)), pad_mode="reflect", **arguments)
    np.testing.assert_allclose(padded[:9], reflected[:9], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(padded, behind_zeros[:11], rtol=1e-5, atol=1e-4)
    assert np.abs(padded[9:] - reflected[9:]).max() > 0.1


@pytest.mark.parametrize(("dtype", "rounding"), [("bfloat16", 2.0**-8), ("float16", 2.0**-11)])
def test_computes_in_float32_whatever_the_policy(dtype, rounding, waveform, call):
    """So that only the result is rounded; a rounded waveform would lose the noise."""
    single = call(LogMelSpectrogram(), waveform[None, :3200])
    half = call(LogMelSpectrogram(dtype=f"mixed_{dtype}"), waveform[None, :3200])
    np.testing.assert_allclose(np.asarray(half, "float32"), single, rtol=rounding, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fft_length": 256}, r"window <= `fft_length`.*window of 400 samples, fft_length=256"),
        ({"hop_seconds": 0.0}, r"Expected 0 < hop.*hop of 0 samples"),
        ({"hop_seconds": 0.03}, r"hop <= window.*hop of 480 samples"),
        ({"low_hz": 4000.0, "high_hz": 300.0}, r"`low_hz` < `high_hz`.*low_hz=4000.*high_hz=300"),
        ({"low_hz": -1.0}, r"0 <= `low_hz`.*low_hz=-1"),
        ({"window_function": "kaiser"}, r"`window_function`.*'hann'.*window_function='kaiser'"),
        ({"frame_count": "round"}, r"`frame_count`.*'ceil'.*frame_count='round'"),
        ({"pad_mode": "edge"}, r"`pad_mode`.*'reflect'.*pad_mode='edge'"),
        ({"high_hz": 9000.0}, r"<= sample_rate / 2.*high_hz=9000.*sample_rate=16000"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogMelSpectrogram(**arguments)


def test_stereo_is_an_error():
    with pytest.raises(ValueError, match=r"\(batch, samples\)\. Received: shape=\(1, 1600, 2\)"):
        LogMelSpectrogram()(np.zeros((1, 1600, 2), "float32"))
