"""Utterances to batches of audio and tokens, as a tf.data pipeline."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_contextnet.data.audio import AudioError, audio_duration, load_audio
from keras_contextnet.data.batching import epoch_batches, make_buckets
from keras_contextnet.data.manifest import Utterance

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_contextnet.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def make_dataset(
    utterances: Sequence[Utterance],
    tokenizer: Tokenizer,
    batch_size: int = 16,
    batch_seconds: float | None = None,
    sample_rate: int = 16000,
    shuffle: bool = False,
    seed: int = 0,
    bucket: bool | None = None,
    max_duration: float | None = None,
    max_tokens: int | None = None,
    drop_remainder: bool = False,
    repeat: bool = False,
    num_workers: int | None = None,
    on_error: str = "raise",
) -> tf.data.Dataset:
    """Makes a `tf.data.Dataset` that `ContextNet.fit`, `evaluate` and `predict` take.

    Its elements are `(x, y)` with `x = {"audio": (batch, samples) float32, "audio_length": (batch,)
    int32}` and `y = {"tokens": (batch, U) int32, "token_length": (batch,) int32}`, both padded with
    zeros. It works under every Keras backend; TensorFlow is what reads ahead.

    Args:
        utterances: What to read, from `read_manifest` or `read_librispeech`.
        tokenizer: Turns transcripts into token ids.
        batch_size: Utterances per batch.
        batch_seconds: Seconds of audio per batch, padding included, in place of `batch_size`:
            short utterances then come in larger batches. An utterance longer than that is a batch
            of its own.
        sample_rate: The rate of the audio, in Hz.
        shuffle: Whether every epoch has other batches in another order.
        seed: The epochs' orders follow from it.
        bucket: Whether a batch has utterances of similar lengths, so that little is padded; without
            `shuffle` the longest come first. Defaults to `shuffle`: otherwise results stay in the
            order of `utterances`.
        max_duration: Leave out longer utterances, in seconds.
        max_tokens: Leave out utterances whose transcripts have more tokens.
        drop_remainder: Whether to leave out a last batch that is not full.
        repeat: Whether to start again after an epoch, for ever.
        num_workers: Batches that are read at the same time. Defaults to what tf.data finds best.
        on_error: `"raise"`, or `"skip"` to leave out an audio file that cannot be read, with a
            warning. The number of batches is then not known in advance.

    Returns:
        A `tf.data.Dataset`.

    Raises:
        ValueError: If there are no utterances, or an argument is out of range.
        tf.errors.InvalidArgumentError: While iterating, if an audio file cannot be read. The
            message names the file.

    Example:

    ```python
    from keras_contextnet.data import make_dataset, read_manifest
    from keras_contextnet.text import english_tokenizer

    utterances = read_manifest("examples/audio/manifest.jsonl")
    dataset = make_dataset(utterances, english_tokenizer(), batch_size=4, shuffle=True)
    for x, y in dataset:
        print(x["audio"].shape, y["tokens"].shape)
    ```
    """
    import tensorflow as tf

    _check_positive(
        batch_size=batch_size,
        batch_seconds=batch_seconds,
        sample_rate=sample_rate,
        max_duration=max_duration,
        max_tokens=max_tokens,
        num_workers=num_workers,
    )
    if on_error not in ("raise", "skip"):
        raise ValueError(f"Expected on_error to be 'raise' or 'skip'. Received: {on_error!r}.")
    bucket = shuffle if bucket is None else bucket

    utterances = list(utterances)
    tokens = tokenizer.encode_batch(utterance.text for utterance in utterances)
    # Headers are read only where a length matters and is not in the manifest.
    needed = bucket or batch_seconds is not None or max_duration is not None
    durations = np.array([_duration(u, on_error) if needed else 1.0 for u in utterances])
    kept = [
        i
        for i in range(len(utterances))
        if (max_duration is None or durations[i] <= max_duration)
        and (max_tokens is None or len(tokens[i]) <= max_tokens)
    ]
    if not kept:
        raise ValueError(
            f"Expected at least one utterance. Received: {len(utterances)} utterances, none of "
            f"which has at most max_duration={max_duration} s and max_tokens={max_tokens}."
        )
    if len(kept) < len(utterances):
        logger.info(
            "%d of %d utterances are too long", len(utterances) - len(kept), len(utterances)
        )
    utterances, tokens = [utterances[i] for i in kept], [tokens[i] for i in kept]

    buckets = make_buckets(durations[kept], batch_size, batch_seconds, by_length=bucket)
    count = len(epoch_batches(buckets, None, drop_remainder))
    if not count:
        raise ValueError(
            f"Expected a full batch with drop_remainder. Received: {len(kept)} utterances and "
            f"batch_size={batch_size}, batch_seconds={batch_seconds}."
        )
    epochs = itertools.count()

    def batches() -> Iterator[np.ndarray]:
        generator = np.random.default_rng([seed, next(epochs)]) if shuffle else None
        return iter(epoch_batches(buckets, generator, drop_remainder))

    dataset = tf.data.Dataset.from_generator(
        batches, output_signature=tf.TensorSpec((None,), tf.int64)
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    dataset = dataset.map(
        _batch_in_graph(_batch_loader(utterances, tokens, sample_rate, on_error)),
        num_parallel_calls=num_workers or tf.data.AUTOTUNE,
    )
    if on_error == "skip":
        dataset = dataset.filter(lambda x, y: tf.size(x["audio_length"]) > 0)
    if repeat:
        dataset = dataset.repeat()
    return dataset.prefetch(tf.data.AUTOTUNE)


def _check_positive(**arguments: float | None) -> None:
    for name, value in arguments.items():
        if value is not None and not value > 0:
            raise ValueError(f"Expected {name} to be positive. Received: {name}={value!r}.")


def _duration(utterance: Utterance, on_error: str) -> float:
    if utterance.duration is not None:
        return utterance.duration
    try:
        return audio_duration(utterance.audio)
    except AudioError:
        if on_error == "raise":
            raise
        return 1e-3  # left out, with a warning, when it is read


def _batch_loader(
    utterances: list[Utterance], tokens: list[list[int]], sample_rate: int, on_error: str
) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
    def load(indices: np.ndarray) -> tuple[np.ndarray, ...]:
        waveforms, labels = [], []
        for i in indices:
            try:
                waveforms.append(load_audio(utterances[i].audio, sample_rate))
                labels.append(tokens[i])
            except AudioError as error:
                if on_error == "raise":
                    raise
                warnings.warn(f"Left out {utterances[i].id}. {error}", stacklevel=2)
        return *_pad(waveforms, np.float32), *_pad(labels, np.int32)

    return load


def _pad(rows: Sequence[Sequence[float]], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(row) for row in rows], np.int32)
    padded = np.zeros((len(rows), lengths.max(initial=0)), dtype)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded, lengths


def _batch_in_graph(load: Callable[[np.ndarray], tuple[np.ndarray, ...]]) -> Callable:
    import tensorflow as tf

    def batch(indices: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        audio, audio_length, tokens, token_length = tf.numpy_function(
            load, [indices], (tf.float32, tf.int32, tf.int32, tf.int32)
        )
        # numpy_function forgets the ranks.
        x = {
            "audio": tf.ensure_shape(audio, (None, None)),  # (batch, samples)
            "audio_length": tf.ensure_shape(audio_length, (None,)),
        }
        y = {
            "tokens": tf.ensure_shape(tokens, (None, None)),  # (batch, U)
            "token_length": tf.ensure_shape(token_length, (None,)),
        }
        return x, y

    return batch
