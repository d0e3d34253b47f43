"""The predictor: what the transducer has written so far, as one vector a token."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
from keras import ops

from keras_contextnet.backend import as_tensor
from keras_contextnet.layers.lstm import LSTM


@keras.saving.register_keras_serializable(package="keras_contextnet")
class Predictor(keras.layers.Layer):
    """Embedding and LSTM over the tokens so far: the transducer's language side.

    The sequence starts with the blank, so that U tokens give U + 1 outputs: output `u` has read
    the first `u` tokens.

    Args:
        vocabulary_size: int. Token ids, the blank included.
        embedding_size: int.
        units: int. Width of the LSTM layers.
        blank_id: int. The id that starts every sequence; the last one if None.
        dropout: float in [0, 1). Dropout of the embeddings.
        variational_noise: float. Standard deviation of the Gaussian noise that is added to every
            weight of the predictor while training, drawn anew for each batch.
        seed: optional int, for the noise.
        num_layers: int. LSTM layers, one upon the other.
        lstm_dropout: float in [0, 1). Dropout of every LSTM layer's outputs.
        **kwargs: of `keras.layers.Layer`.

    Call arguments:
        inputs: int tensor (batch, U), token ids; padding may hold any valid id, since no output
            looks at a later token.
        training: bool. For dropout and variational noise.

    Returns:
        A tensor (batch, U + 1, units).

    Raises:
        ValueError: for a `blank_id` outside the vocabulary, or a non-positive `num_layers`.

    Example:

    ```python
    import numpy as np
    import keras_contextnet

    predictor = keras_contextnet.Predictor(vocabulary_size=28, embedding_size=16, units=32)
    print(predictor(np.array([[3, 1, 4]])).shape)  # (1, 4, 32)

    output, state = predictor.step(np.array([3]), predictor.initial_state(1))
    print(output.shape)  # (1, 32)
    ```

    Source: ContextNet (arXiv 2005.03191), section 2.1; Graves, arXiv 1211.3711. One LSTM layer of
    640 is the paper's; the embedding's width is inferred from the published sizes. Variational
    noise: Graves, "Practical Variational Inference for Neural Networks", 2011.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int = 512,
        units: int = 640,
        blank_id: int | None = None,
        dropout: float = 0.0,
        variational_noise: float = 0.0,
        seed: int | None = None,
        num_layers: int = 1,
        lstm_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.units = units
        self.blank_id = vocabulary_size - 1 if blank_id is None else blank_id
        if not 0 <= self.blank_id < vocabulary_size:
            raise ValueError(
                f"Expected `blank_id` in [0, {vocabulary_size}). Received: blank_id={blank_id}"
            )
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ValueError(
                f"Expected `num_layers` to be a positive integer. Received: num_layers={num_layers}"
            )
        self.num_layers = num_layers
        self.dropout_rate = dropout
        self.lstm_dropout_rate = lstm_dropout
        self.variational_noise = variational_noise
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_size, dtype=self.dtype_policy, name="embedding"
        )
        self.dropout = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.lstms = [
            LSTM(units, return_sequences=True, dtype=self.dtype_policy, name=f"lstm_{index}")
            for index in range(num_layers)
        ]
        self.lstm_dropout = keras.layers.Dropout(lstm_dropout, seed=seed, dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...] = (None, None)) -> None:
        self.embedding.build((None, None))
        self.dropout.build((None, None, self.embedding_size))
        for index, lstm in enumerate(self.lstms):
            lstm.build((None, None, self.units if index else self.embedding_size))
        self.lstm_dropout.build((None, None, self.units))

    def call(self, inputs: Any, training: bool = False) -> Any:
        tokens = ops.cast(inputs, "int32")
        start = ops.full((ops.shape(tokens)[0], 1), self.blank_id, dtype="int32")
        tokens = ops.concatenate([start, tokens], axis=1)  # (batch, U + 1)
        noise = contextlib.nullcontext()
        if training and self.variational_noise:
            noise = keras.StatelessScope(state_mapping=self._noisy_weights())
        with noise:
            embedded = self.embedding(tokens)  # (batch, U + 1, embedding_size)
        # Outside the scope, which would forget how far the random generator has come.
        x = self.dropout(embedded, training=training)
        for lstm in self.lstms:
            with noise:
                x = lstm(x, training=training)  # (batch, U + 1, units)
            x = self.lstm_dropout(x, training=training)
        return x

    def _noisy_weights(self) -> list[tuple[keras.Variable, Any]]:
        """Frozen weights are listed as they are: a scope hides those of the scope around it."""
        return [
            (weight, self._with_noise(weight) if weight.trainable else as_tensor(weight))
            for layer in (self.embedding, *self.lstms)
            for weight in layer.weights
        ]

    def _with_noise(self, weight: keras.Variable) -> Any:
        noise = keras.random.normal(weight.shape, dtype=weight.dtype, seed=self.seed_generator)
        return weight + self.variational_noise * noise

    def initial_state(self, batch_size: Any) -> list[Any]:
        """Returns the state before any token: two zero tensors (batch, units) for each LSTM."""
        return [
            ops.zeros((batch_size, self.units), dtype=self.compute_dtype)
            for _ in range(2 * self.num_layers)
        ]

    def step(self, token: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """Reads one token.

        Args:
            token: int tensor (batch,). The blank starts a sequence.
            state: list of tensors (batch, units), from `initial_state` or the step before.

        Returns:
            The output (batch, units) and the new state.
        """
        x, new_state = self.embedding(token), []
        for index, lstm in enumerate(self.lstms):
            x, layer_state = lstm.cell(x, state[2 * index : 2 * index + 2])
            new_state += layer_state
        return x, new_state

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        tokens = input_shape[1]
        return (input_shape[0], None if tokens is None else tokens + 1, self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "units": self.units,
            "blank_id": self.blank_id,
            "dropout": self.dropout_rate,
            "variational_noise": self.variational_noise,
            "seed": self.seed,
            "num_layers": self.num_layers,
            "lstm_dropout": self.lstm_dropout_rate,
        }
