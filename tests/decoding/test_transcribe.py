import keras
import numpy as np
import pytest
import soundfile

from keras_contextnet.data import AudioError, load_audio
from keras_contextnet.decoding import transcribe as transcribe_module
from keras_contextnet.decoding.transcribe import TranscriptionError, transcribe


@pytest.fixture(scope="module")
def model(make_contextnet):
    return make_contextnet()


@pytest.fixture(scope="module")
def files(examples):
    """The four shortest recordings, from 2.6 to 2.8 seconds."""
    return sorted((example["audio"] for example in examples), key=lambda path: path.stat().st_size)[
        :4
    ]


@pytest.fixture(scope="module")
def texts(model, files):
    return transcribe(model, files)


def test_text_is_that_of_predict_s_tokens(model, files, texts):
    waveform = load_audio(files[0])
    outputs = model.predict_on_batch(waveform[None])
    count = int(outputs["token_length"][0])
    assert texts[0] == model.tokenizer.decode(outputs["tokens"][0, :count])
    assert len(set(texts)) == len(texts)
    assert all(len(text) > 3 for text in texts)


def test_same_text_alone_in_any_batch_and_as_waveform(model, files, texts):
    assert model.transcribe(str(files[0])) == texts[0]
    assert model.transcribe(load_audio(files[0])) == texts[0]
    mixed = [str(files[3]), load_audio(files[0]), files[2], load_audio(files[0]).tolist()]
    expected = [texts[3], texts[0], texts[2], texts[0]]
    for batch_size in (1, 3):
        assert model.transcribe(mixed, batch_size=batch_size) == expected
    assert model.transcribe(tuple(mixed[:1])) == expected[:1]
    # Beside a recording four times as long.
    long = np.tile(load_audio(files[1]), 4)
    assert model.transcribe([files[0], long])[0] == texts[0]


def test_list_of_floats_is_a_waveform(model, files, texts):
    assert model.transcribe(load_audio(files[0]).tolist()) == texts[0]


def test_empty_list(model):
    assert model.transcribe([]) == []


@pytest.fixture
def heard(model, monkeypatch):
    """The waveforms that reach the model, without their padding."""
    waveforms = []
    predict = model.predict_on_batch

    def record(x):
        for row, length in zip(x["audio"], x["audio_length"], strict=True):
            waveforms.append(row[:length])
        return predict(x)

    monkeypatch.setattr(model, "predict_on_batch", record)
    return waveforms


def test_telephone_stereo_is_resampled_and_averaged(model, heard, tmp_path):
    """A tone that is louder on the left comes out at the same pitch, at the mean loudness."""
    tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    path = tmp_path / "telephone.wav"
    soundfile.write(path, np.stack([0.6 * tone, 0.2 * tone], axis=1), 8000, subtype="FLOAT")
    assert isinstance(model.transcribe(path), str)
    assert isinstance(model.transcribe(0.4 * tone, sample_rate=8000), str)
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    for waveform in heard:
        assert len(waveform) == 16000
        np.testing.assert_allclose(waveform[500:-500], expected[500:-500], atol=1e-3)


def bad_items(folder):
    """Items that cannot be transcribed, and what their errors say."""
    empty, text, clip, nan = (folder / f"{name}.wav" for name in ("empty", "text", "clip", "nan"))
    empty.write_bytes(b"")
    text.write_text("not a recording")
    soundfile.write(clip, np.zeros(80), 16000)
    soundfile.write(nan, np.full(16000, np.nan), 16000, subtype="FLOAT")
    return [
        (empty, r"empty\.wav, which is empty"),
        (str(text), r"text\.wav"),
        (clip, r"at least 25 ms.*clip\.wav of 5\.0 ms"),
        (nan, r"nan\.wav, which has NaN"),
        (folder / "missing.wav", r"missing\.wav, which does not exist"),
        (np.full(16000, np.nan), r"NaN or infinity"),
        (np.zeros(80), r"at least 25 ms.*waveform of 5\.0 ms"),
        (np.zeros(16000, "int16"), r"dtype int16.*32768"),
        (np.zeros((2, 16000)), r"shape \(2, 16000\)"),
        (np.zeros(0), r"at least one sample"),
    ]


def test_bad_items_alone_are_an_error(model, tmp_path):
    for item, message in bad_items(tmp_path):
        with pytest.raises(AudioError, match=message):
            model.transcribe(item)


def test_bad_items_of_a_list_leave_the_others(model, files, texts, tmp_path):
    bad = bad_items(tmp_path)
    items = [files[0], *(item for item, _ in bad), None, files[1]]
    with pytest.raises(TranscriptionError, match="11 of 13 items") as caught:
        model.transcribe(items)
    error = caught.value
    assert error.texts == [texts[0], *[None] * 11, texts[1]]
    assert list(error.errors) == list(range(1, 12))
    for (_, message), reason in zip(bad, error.errors.values(), strict=False):
        assert isinstance(reason, AudioError)
        with pytest.raises(AudioError, match=message):
            raise reason
    assert "item 2: " in str(error)
    assert "text.wav" in str(error)


def test_nothing_but_bad_items(model, tmp_path):
    with pytest.raises(TranscriptionError, match="1 of 1 items") as caught:
        model.transcribe([tmp_path / "missing.wav"])
    assert caught.value.texts == [None]


def test_model_without_tokenizer_is_an_error(make_contextnet, files):
    with pytest.raises(ValueError, match="tokenizer=None"):
        make_contextnet(tokenizer=None).transcribe(files[0])


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_batch_size_is_checked(batch_size, model, files):
    with pytest.raises(ValueError, match=rf"`batch_size`.*Received: {batch_size}"):
        model.transcribe(files, batch_size=batch_size)


@pytest.mark.parametrize(
    ("count", "progress", "shown"),
    [(20, None, True), (19, None, False), (2, True, True), (20, False, False)],
)
def test_progress_is_shown_for_long_lists(count, progress, shown, model, monkeypatch, capsys):
    import rich.progress

    bars = []

    class Progress(rich.progress.Progress):
        def __init__(self, *args, **arguments):
            super().__init__(*args, **arguments)
            bars.append(self)

        def stop(self):
            self.completed = [(task.completed, task.total) for task in self.tasks]
            super().stop()

    monkeypatch.setattr(rich.progress, "Progress", Progress)
    monkeypatch.setattr(
        transcribe_module, "_transcribe_batch", lambda model, batch: ["a"] * len(batch)
    )
    model.transcribe([np.zeros(400)] * count, progress=progress)
    assert [bar.completed for bar in bars] == ([[(count, count)]] if shown else [])


def test_tokens_per_frame_are_the_model_s(make_contextnet, files):
    """A model that never says blank reaches the limit in every frame, in any batch."""
    texts = {}
    for limit in (1, 2):
        model = make_contextnet(max_symbols_per_frame=limit)
        bias = np.zeros(29)
        bias[28] = -1e3
        model.joiner.output_projection.bias.assign(bias)
        texts[limit] = model.transcribe([np.zeros(16000) + 0.1, np.zeros(3200) + 0.1])
    frames = [25, 5]
    assert [[len(text) for text in texts[limit]] for limit in (1, 2)] == [
        frames,
        [2 * n for n in frames],
    ]


def test_half_precision_model_transcribes(make_contextnet, files):
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert isinstance(make_contextnet().transcribe(files[0]), str)
