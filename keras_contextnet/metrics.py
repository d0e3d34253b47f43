"""Word and character error rates as Keras metrics."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contextnet.error_counts import ErrorCounts, character_errors, word_errors

__all__ = ["CharacterErrorRate", "WordErrorRate", "character_errors", "word_errors"]


class _ErrorRate(keras.metrics.Metric):
    """Errors by length of the references, over all updates since the last reset."""

    _unit = ""
    _count: Callable[[Sequence[str], Sequence[str]], ErrorCounts]

    def __init__(self, tokenizer: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.tokenizer = tokenizer
        self.errors = self.add_variable(shape=(), initializer="zeros", name="errors")
        self.length = self.add_variable(shape=(), initializer="zeros", name=self._unit)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds utterances.

        Args:
            y_true: The references: a string, a list of strings, a TensorFlow string tensor
                (batch,), or token ids (batch, U) padded with negative ids.
            y_pred: The hypotheses, in any of the same forms; ids (batch, N).
            sample_weight: Optional floats (batch,), by which the errors and the words or
                characters of each utterance are multiplied.
        """
        counts = _on_host(self._errors_and_length, y_true, y_pred)
        counts = ops.cast(counts, self.dtype)  # (batch, 2)
        if sample_weight is not None:
            sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), self.dtype)
            counts = counts * ops.reshape(sample_weight, (-1, 1))
        self.errors.assign_add(ops.sum(counts[:, 0]))
        self.length.assign_add(ops.sum(counts[:, 1]))

    def result(self) -> Any:
        """The rate as a ratio, a scalar: 0 before any update."""
        errors = ops.convert_to_tensor(self.errors)
        length = ops.convert_to_tensor(self.length)
        rate = errors / ops.where(length > 0, length, ops.ones_like(length))
        nothing_said = ops.where(errors > 0, ops.full_like(errors, float("inf")), errors)
        return ops.where(length > 0, rate, nothing_said)

    def _errors_and_length(self, y_true: Any, y_pred: Any) -> np.ndarray:
        """Errors and reference length of each utterance: (batch, 2)."""
        references = _texts("y_true", y_true, self.tokenizer)
        hypotheses = _texts("y_pred", y_pred, self.tokenizer)
        rows = type(self)._count(references, hypotheses).utterances
        rows = [(row.errors, row.length) for row in rows]
        return np.array(rows, "float32").reshape(-1, 2)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, the tokenizer serialised."""
        tokenizer = self.tokenizer
        if tokenizer is not None:
            tokenizer = keras.saving.serialize_keras_object(tokenizer)
        return {**super().get_config(), "tokenizer": tokenizer}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "_ErrorRate":
        """The metric of a `get_config`."""
        tokenizer = config.get("tokenizer")
        if isinstance(tokenizer, dict):
            tokenizer = keras.saving.deserialize_keras_object(tokenizer)
        return cls(**{**config, "tokenizer": tokenizer})


@keras.saving.register_keras_serializable(package="keras_contextnet")
class WordErrorRate(_ErrorRate):
    """Word error rate, as a ratio: 0.05 for five errors in a hundred words.

    Errors are the substitutions, deletions and insertions of the best alignment, summed over all
    utterances and divided by the words of all references. An utterance whose reference is empty
    adds its insertions. Without any reference word the rate is 0, or infinite if there are errors.

    Args:
        tokenizer: What `decode` turns token ids into text with; only needed for ids.
        name: String.
        dtype: Dtype of the two counts and the result.

    Example:

    ```python
    from keras_contextnet.metrics import WordErrorRate

    metric = WordErrorRate()
    metric.update_state(["the cat sat", "on the mat"], ["the cat sat", "on a mat"])
    assert abs(float(metric.result()) - 1 / 6) < 1e-6
    ```
    """

    _unit = "words"
    _count = staticmethod(word_errors)

    def __init__(self, tokenizer: Any = None, name: str = "wer", dtype: Any = None) -> None:
        super().__init__(tokenizer=tokenizer, name=name, dtype=dtype)


@keras.saving.register_keras_serializable(package="keras_contextnet")
class CharacterErrorRate(_ErrorRate):
    """Character error rate, as a ratio; spaces between words are characters too.

    Otherwise as `WordErrorRate`.

    Args:
        tokenizer: What `decode` turns token ids into text with; only needed for ids.
        name: String.
        dtype: Dtype of the two counts and the result.

    Example:

    ```python
    from keras_contextnet.metrics import CharacterErrorRate

    metric = CharacterErrorRate()
    metric.update_state("the cat", "the hat")
    assert abs(float(metric.result()) - 1 / 7) < 1e-6
    ```
    """

    _unit = "characters"
    _count = staticmethod(character_errors)

    def __init__(self, tokenizer: Any = None, name: str = "cer", dtype: Any = None) -> None:
        super().__init__(tokenizer=tokenizer, name=name, dtype=dtype)


def _texts(name: str, value: Any, tokenizer: Any) -> list[str]:
    """Strings from strings, arrays of bytes, or rows of token ids."""
    if isinstance(value, (str, bytes)):
        value = [value]
    elif isinstance(value, np.ndarray):
        value = np.atleast_1d(value)
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in value]
    texts = []
    for row in rows:
        if isinstance(row, bytes):
            row = row.decode("utf-8")
        elif not isinstance(row, str):
            if tokenizer is None:
                raise ValueError(
                    f"`{name}` holds token ids: the metric needs a `tokenizer` to turn them into "
                    f"text. Received: tokenizer=None, {name}[{len(texts)}]={row}"
                )
            row = tokenizer.decode([int(i) for i in row if i >= 0])
        texts.append(row)
    return texts


def _on_host(function: Callable[..., np.ndarray], *values: Any) -> Any:
    """Runs a Python function of NumPy values, inside a compiled graph if need be.

    Args:
        function: Takes as many arguments as there are `values`, returns float32 (batch, 2).
        *values: Python values, arrays or tensors (batch, ...), of which some may have no value
            yet.
    """
    known = [_known(value) for value in values]
    places = [i for i, value in enumerate(known) if value is None]
    if not places:
        return function(*known)

    def with_values(*late: Any) -> np.ndarray:
        full = list(known)
        for place, value in zip(places, late, strict=True):
            full[place] = np.asarray(value)
        return function(*full)

    late = [values[place] for place in places]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        counts = tf.numpy_function(with_values, late, tf.float32)
        counts.set_shape((None, 2))
        return counts
    if keras.backend.backend() == "jax":
        import jax

        shape = jax.ShapeDtypeStruct((late[0].shape[0], 2), np.float32)
        return jax.pure_callback(with_values, shape, *late)
    raise NotImplementedError(
        "Error rates inside a compiled function need the TensorFlow or the JAX backend. "
        f"Received: {keras.backend.backend()}"
    )


def _known(value: Any) -> Any:
    """The value as Python or NumPy has it, or None for a tensor that has none yet."""
    if isinstance(value, (str, bytes, list, tuple)):
        return value
    try:
        return np.asarray(value)
    except (TypeError, NotImplementedError):
        return None
