"""A transducer's predictor and joiner as a language model, to learn from text alone."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# Added to the blank's logit: text has none.
NEVER = -1e9


@keras.saving.register_keras_serializable(package="keras_contextnet")
class PredictorLanguageModel(keras.Model):
    """Scores each token given those before it, by the parts of a transducer that hear nothing.

    The joiner works as on a frame that says nothing, without the blank. Trained on text before the
    transducer is trained on speech, its predictor knows the language from the start.

    Args:
        predictor: `Predictor`.
        joiner: `Joiner`.
        **kwargs: of `keras.Model`.

    Call arguments:
        inputs: int tensor (batch, U), token ids. What follows a text is negative; it should be left
            out of the loss.
        training: bool. For the predictor's dropout.

    Returns:
        Logits, a tensor (batch, U, vocabulary): entry u scores token u, from the tokens before it.

    Example:

    ```python
    import keras
    import keras_contextnet as kc
    from keras_contextnet.models import PredictorLanguageModel

    tokenizer = kc.text.CharacterTokenizer()
    predictor = kc.Predictor(29, embedding_size=16, units=16)
    joiner = kc.Joiner(29, units=16)
    texts = ["the quick brown fox", "jumps over"]
    tokens = keras.utils.pad_sequences(
        [tokenizer.encode(text) for text in texts], padding="post", value=-1
    )

    model = PredictorLanguageModel(predictor, joiner)
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    )
    model.fit(tokens, tokens, verbose=0)
    ```

    Source: Rao, Sak and Prabhavalkar, arXiv 1801.00841, whose decoders begin as language models.
    """

    def __init__(
        self, predictor: keras.layers.Layer, joiner: keras.layers.Layer, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if predictor.vocabulary_size != joiner.vocabulary_size:
            raise ValueError(
                "Expected `predictor` and `joiner` to have one vocabulary. Received: "
                f"{predictor.vocabulary_size} and {joiner.vocabulary_size} token ids."
            )
        self.predictor = predictor
        self.joiner = joiner

    def call(self, inputs: Any, training: bool = False) -> Any:
        tokens = ops.maximum(inputs, 0)
        output = self.predictor(tokens, training=training)[:, :-1]  # (batch, U, units)
        projected = self.joiner.predictor_projection(output)
        logits = self.joiner.join(ops.zeros_like(projected), projected)
        blank = ops.arange(self.joiner.vocabulary_size) == self.predictor.blank_id
        return ops.where(blank, ops.cast(NEVER, logits.dtype), logits)  # (batch, U, vocabulary)

    def get_config(self) -> dict[str, Any]:
        parts = {"predictor": self.predictor, "joiner": self.joiner}
        serialized = {
            name: keras.saving.serialize_keras_object(part) for name, part in parts.items()
        }
        return {**super().get_config(), **serialized}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        for part in ("predictor", "joiner"):
            config[part] = keras.saving.deserialize_keras_object(config[part], custom_objects)
        return cls(**config)
