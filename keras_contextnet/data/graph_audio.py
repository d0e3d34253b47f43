"""Audio files decoded inside the TensorFlow graph, by tensorflow-io."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

# Full scale of each sample type that tensorflow-io decodes to, and its offset.
SCALES = {"uint8": (128.0, 128.0), "int16": (32768.0, 0.0), "int32": (2.0**31, 0.0)}

# The formats' first bytes, a character each. MP3 begins with an ID3 tag or eleven ones.
KNOWN = "(?s)(RIFF|fLaC|OggS|ID3|\u00ff[\u00e0-\u00ff]).*"
OPUS = "(?s)OggS.*OpusHead.*"
# The header's fields: format (1 is integers, 0xFFFE says which further on), 12 bytes, bits.
WAV_INT32 = (
    "(?s)RIFF.*?fmt .{4}(\\x01\\x00.{12}\\x20\\x00|\u00fe\u00ff.{12}\\x20\\x00.{8}\\x01\\x00).*"
)


def load_audio_tensor(path: tf.Tensor, sample_rate: int = 16000) -> tf.Tensor:
    """Reads an audio file as `load_audio` does, but inside the graph, such as in a `tf.data` map.

    WAV, FLAC, MP3 and Ogg-Vorbis are read; Opus is not, tensorflow-io has no decoder for it. A
    parallel map decodes one file at a time.

    Args:
        path: A scalar string tensor, the file.
        sample_rate: The rate of the result, in Hz.

    Returns:
        The waveform `(samples,)`, float32, in `[-1, 1]`: channels averaged, resampled.

    Raises:
        ImportError: If tensorflow-io's native operations cannot be loaded.
        tf.errors.InvalidArgumentError: When run, if the file is not of these formats.
        tf.errors.NotFoundError: When run, if there is no such file.

    Example:

    ```python
    import tensorflow as tf
    from keras_contextnet.data import load_audio_tensor

    def read(paths):  # pip install "keras-contextnet[tfio]"
        return tf.data.Dataset.from_tensor_slices(paths).map(load_audio_tensor)
    ```
    """
    import tensorflow as tf

    # A reader of tensorflow-io holds one file for all calls of its node: of the parallel calls of a
    # map, one would read another's file.
    waveform, rate = tf.CriticalSection().execute(lambda: _read(path))
    return tf.cond(
        rate == sample_rate, lambda: waveform, lambda: _resample(waveform, rate, sample_rate)
    )


def _read(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow as tf

    operations = _audio_operations()
    with tf.control_dependencies(_check_format(path)):
        file = operations.io_audio_readable_init(tf.identity(path))
    _, dtype, rate = operations.io_audio_readable_spec(file)

    def read_as(name: str) -> tf.Tensor:
        samples = operations.io_audio_readable_read(file, 0, -1, dtype=tf.as_dtype(name))
        scale, offset = SCALES.get(name, (1.0, 0.0))
        return (tf.cast(samples, tf.float32) - offset) / scale  # (samples, channels)

    # The type is known only when the file is open, so that the graph has a branch for each.
    names = ["float32", *SCALES]
    codes = tf.constant([tf.as_dtype(name).as_datatype_enum for name in names], tf.int64)
    branch = tf.argmax(tf.cast(codes == tf.cast(dtype, tf.int64), tf.int32))
    channels = tf.switch_case(
        tf.cast(branch, tf.int32), [lambda name=name: read_as(name) for name in names]
    )
    return tf.reduce_mean(channels, axis=1), tf.cast(rate, tf.int64)  # (samples,), ()


def _resample(waveform: tf.Tensor, rate: tf.Tensor, sample_rate: int) -> tf.Tensor:
    import tensorflow as tf

    # tensorflow-io leaves the delay of speexdsp's filter in: half its length, which is 64 samples
    # of the lower rate, in multiples of 8. Zeros at the end make room for what it delays.
    filter_length = 64 * tf.maximum(rate, sample_rate) // sample_rate
    filter_length = (filter_length + 7) // 8 * 8
    delay = tf.cast(tf.round(filter_length * sample_rate / (2 * rate)), tf.int64)
    samples = (tf.size(waveform, tf.int64) * sample_rate + rate // 2) // rate
    padded = tf.pad(waveform, [[0, filter_length]])
    resampled = _audio_operations().io_audio_resample(
        padded[:, None], rate_in=rate, rate_out=sample_rate
    )
    return resampled[delay : delay + samples, 0]


def _audio_operations() -> Any:
    try:
        from tensorflow_io.python.ops import core_ops

        # The library is loaded by the first look at it.
        core_ops.io_audio_readable_init  # noqa: B018
    except (ImportError, NotImplementedError) as error:
        raise ImportError(
            "load_audio_tensor needs tensorflow-io, whose native operations load under TensorFlow "
            '2.16 only: pip install "keras-contextnet[tfio]". load_audio and make_dataset read '
            "audio without it, in any TensorFlow."
        ) from error
    return core_ops


def _check_format(path: tf.Tensor) -> list[tf.Operation]:
    # tensorflow-io's own errors do not name the file, and 32-bit integers it takes for floats.
    import tensorflow as tf

    start = _latin1(tf.strings.substr(tf.io.read_file(path), 0, 1024))
    problems = [
        (~tf.strings.regex_full_match(start, KNOWN), "Expected WAV, FLAC, MP3 or Ogg-Vorbis."),
        (tf.strings.regex_full_match(start, OPUS), "tensorflow-io cannot decode Opus."),
        (tf.strings.regex_full_match(start, WAV_INT32), "tensorflow-io cannot decode 32-bit PCM."),
    ]
    advice = "load_audio and make_dataset read more formats. Received:"
    return [tf.debugging.Assert(~found, [message, advice, path]) for found, message in problems]


def _latin1(text: tf.Tensor) -> tf.Tensor:
    # Regular expressions work on UTF-8: make every byte a character.
    import tensorflow as tf

    codes = tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32)
    return tf.strings.unicode_encode(codes, "UTF-8")
