"""Utterances to batches of audio and tokens, as a tf.data pipeline."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_contextnet.data.batch_loader import Augmentation, BatchLoader
from keras_contextnet.data.epoch_plan import EpochPlan, check_positive
from keras_contextnet.data.manifest import Utterance

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_contextnet.text.tokenizer import Tokenizer

# Workers share Python's lock, and each holds a batch.
_MOST_WORKERS = 8
_BATCHES_AHEAD = 2


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
    augment: Sequence[Augmentation] = (),
    batch_tokens: int | None = None,
    max_tokens_per_second: float | None = None,
    start: tuple[int, int] = (0, 0),
    sampled_words: float = 0.0,
) -> tf.data.Dataset:
    """Makes a `tf.data.Dataset` that `ContextNet.fit`, `evaluate` and `predict` take.

    Its elements are `(x, y)` with `x = {"audio": (batch, samples) float32, "audio_length": (batch,)
    int32}` and `y = {"tokens": (batch, U) int32, "token_length": (batch,) int32}`, both padded with
    zeros. It works under every Keras backend; TensorFlow is what reads ahead.

    It is an `EpochPlan` and `dataset_from_plan` in one; take those two where you want to know what
    is in a batch, or what was left out.

    Args:
        utterances: What to read, from `read_manifest` or `read_librispeech`.
        tokenizer: Turns transcripts into token ids.
        batch_size: Utterances per batch.
        batch_seconds: Seconds of audio per batch, padding included, in place of `batch_size`:
            short utterances then come in larger batches. An utterance longer than that is a batch
            of its own.
        sample_rate: The rate of the audio, in Hz.
        shuffle: Whether every epoch has other batches in another order.
        seed: The epochs' orders and what augmentation draws follow from it.
        bucket: Whether a batch has utterances of similar lengths, so that little is padded; without
            `shuffle` the longest come first. Defaults to `shuffle`: otherwise results stay in the
            order of `utterances`.
        max_duration: Leave out longer utterances, in seconds.
        max_tokens: Leave out utterances whose transcripts have more tokens.
        drop_remainder: Whether to leave out a last batch that is not full.
        repeat: Whether to start again after an epoch, for ever.
        num_workers: Batches that are read at the same time. Defaults to the CPU's cores, at most 8.
        on_error: `"raise"`, or `"skip"` to leave out audio files that cannot be read, each named
            once in the log. The number of batches is then not known in advance.
        augment: What is done to each waveform, of `keras_contextnet.data.augmentation` or your own.
        batch_tokens: Tokens per batch, padding included, besides: it bounds the lattice of a
            transducer's loss. See `EpochPlan`.
        max_tokens_per_second: Leave out utterances whose transcripts have more tokens than can be
            said in their time. See `EpochPlan`.
        start: The epoch and the batch at which to begin. See `dataset_from_plan`.
        sampled_words: The share of words whose pieces are drawn anew in every epoch. See
            `EpochPlan`.

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
    plan = EpochPlan(
        utterances,
        tokenizer,
        batch_size=batch_size,
        batch_seconds=batch_seconds,
        batch_tokens=batch_tokens,
        shuffle=shuffle,
        seed=seed,
        bucket=bucket,
        max_duration=max_duration,
        max_tokens=max_tokens,
        max_tokens_per_second=max_tokens_per_second,
        drop_remainder=drop_remainder,
        on_error=on_error,
        sampled_words=sampled_words,
    )
    return dataset_from_plan(plan, sample_rate, augment, start, repeat, num_workers)


def dataset_from_plan(
    plan: EpochPlan,
    sample_rate: int = 16000,
    augment: Sequence[Augmentation] = (),
    start: tuple[int, int] = (0, 0),
    repeat: bool = False,
    num_workers: int | None = None,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Makes a `tf.data.Dataset` that reads the batches of a plan.

    The waveform of an utterance is augmented by numbers that follow from the plan's seed, the epoch
    and the utterance's id: another run, or one that goes on after an interruption, draws the same.

    With `repeat`, every iterator begins at `start` and goes through the epochs for ever. Without
    it, the first pass gives the rest of the epoch of `start`, and each later one the whole of the
    next epoch. Keras's `fit` gives every epoch as many steps as the first pass has: to go on amid
    an epoch take `repeat=True` and `fit(steps_per_epoch=len(plan))`.

    Args:
        plan: An `EpochPlan`.
        sample_rate: The rate of the audio, in Hz.
        augment: What is done to each waveform after it is read, in this order: callables of
            `(waveform, sample_rate, generator)`, such as `keras_contextnet.data.augmentation` has.
        start: The epoch and the batch at which to begin, both from 0. Nothing before them is read.
        repeat: Whether to go on for ever.
        num_workers: Batches that are read at the same time. Defaults to the CPU's cores, at most 8.
        part: Which part of each batch to read, and of how many: `(0, 2)` is the first half. Their
            number divides `plan.devices`.

    Returns:
        A `tf.data.Dataset` of the elements that `make_dataset` describes. Its cardinality is
        unknown where its passes differ in length, or may. Where `plan.devices` is more than one,
        every batch has a multiple of that many rows, and elements are `(x, y, sample_weight)`.
        Weights (batch,) are 0 for rows that make up the number and for audio that could not be
        read; those of the others make the mean over all rows the mean over utterances.

    Raises:
        ValueError: If `start` or `part` is not in the plan, or an argument is out of range.
        tf.errors.InvalidArgumentError: While iterating, if an audio file cannot be read and the
            plan does not skip it. The message names the file.

    Example:

    ```python
    from keras_contextnet.data import EpochPlan, dataset_from_plan, example_utterances
    from keras_contextnet.text import english_tokenizer

    plan = EpochPlan(example_utterances(), english_tokenizer(), batch_size=4, shuffle=True)
    rest = dataset_from_plan(plan, start=(0, 2))
    for batch, (x, y) in zip(plan.batches(0)[2:], rest):
        print([utterance.id for utterance in batch], x["audio"].shape)
    ```
    """
    import tensorflow as tf

    check_positive(sample_rate=sample_rate, num_workers=num_workers)
    _check_start(start, len(plan))
    _check_part(part, plan.devices)
    dataset = tf.data.Dataset.from_generator(
        _endless_positions(plan, start) if repeat else _passes(plan, start),
        output_signature=(tf.TensorSpec((2,), tf.int64), tf.TensorSpec((None,), tf.int64)),
    )
    if repeat:
        dataset = dataset.apply(
            tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        )
    elif start[1] == 0:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(plan)))
    dataset = dataset.map(
        _batch_in_graph(BatchLoader(plan, sample_rate, augment, part)),
        num_parallel_calls=num_workers or min(os.cpu_count() or 1, _MOST_WORKERS),
    )
    if plan.on_error == "skip" and plan.devices == 1:
        dataset = dataset.filter(lambda x, y: tf.size(x["audio_length"]) > 0)
    return dataset.prefetch(_BATCHES_AHEAD).with_options(_without_tuner())


def _without_tuner() -> tf.data.Options:
    """Keeps tf.data from tuning, whose thread wakes every 20 s; until it does, `fit` cannot end."""
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _check_start(start: tuple[int, int], batches: int) -> None:
    epoch, batch = start
    if epoch < 0 or not 0 <= batch < batches:
        raise ValueError(
            "Expected start to be an epoch from 0 on and one of its batches, from 0 to "
            f"{batches - 1}. Received: start={start!r}. After the last batch, give the next epoch "
            "and 0."
        )


def _check_part(part: tuple[int, int], devices: int) -> None:
    number, parts = part
    if parts < 1 or devices % parts or not 0 <= number < parts:
        raise ValueError(
            "Expected part to be a number from 0 on and how many parts there are, which divides "
            f"the plan's devices, {devices}. Received: part={part!r}"
        )


Place = tuple[tuple[int, int], np.ndarray]


def _rest_of_epoch(plan: EpochPlan, epoch: int, first: int) -> Iterator[Place]:
    for number, indices in enumerate(plan.batch_indices(epoch)[first:], start=first):
        yield (epoch, number), indices


def _passes(plan: EpochPlan, start: tuple[int, int]) -> Callable[[], Iterator[Place]]:
    epochs = itertools.count(start[0])

    def next_pass() -> Iterator[Place]:
        epoch = next(epochs)
        return _rest_of_epoch(plan, epoch, start[1] if epoch == start[0] else 0)

    return next_pass


def _endless_positions(plan: EpochPlan, start: tuple[int, int]) -> Callable[[], Iterator[Place]]:
    def positions() -> Iterator[Place]:
        yield from _rest_of_epoch(plan, *start)
        for epoch in itertools.count(start[0] + 1):
            yield from _rest_of_epoch(plan, epoch, 0)

    return positions


def _batch_in_graph(load: BatchLoader) -> Callable:
    import tensorflow as tf

    def load_array(place: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        return load(int(place[0]), int(place[1]), indices)

    def batch(place: tf.Tensor, indices: tf.Tensor) -> tuple[Any, ...]:
        shared = load.plan.devices > 1
        dtypes = (tf.float32, tf.int32, tf.int32, tf.int32, *[tf.float32] * shared)
        audio, audio_length, tokens, token_length, *weights = tf.numpy_function(
            load_array, [place, indices], dtypes
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
        return x, y, *(tf.ensure_shape(weight, (None,)) for weight in weights)

    return batch
