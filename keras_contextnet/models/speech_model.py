"""What all models of this package share: from speech to encoder frames, training and presets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import keras
from keras import ops

from keras_contextnet.layers import LogMelSpectrogram
from keras_contextnet.layers.masking import length_from_mask, mask_from_length
from keras_contextnet.replicas import (
    mean_over_replicas,
    results_for_workers,
    share_of_replica,
    strategy_scope,
    sum_over_replicas,
)

Model = TypeVar("Model", bound="SpeechModel")


class SpeechModel(keras.Model):
    """Front end, augmentation, encoder and tokenizer, with Keras's training loop around them.

    Subclasses define `decode`, `token_loss` and `makers`, and name their parts in `parts`.

    Args:
        encoder: `ContextNetEncoder`, or any Keras model or layer with its attributes.
        frontend: layer from audio to features; a `LogMelSpectrogram` if None.
        augmenter: optional layer on the features while training, or a `keras.Sequential` of some.
        tokenizer: optional `keras_contextnet.text.Tokenizer`.
        l2: float. Weight of the squared norm of all trainable weights in the loss.
        **kwargs: of `keras.Model`.
    """

    parts: ClassVar[tuple[str, ...]] = ("encoder", "frontend", "augmenter", "tokenizer")

    def __init__(
        self,
        encoder: keras.Model,
        frontend: keras.layers.Layer | None = None,
        augmenter: keras.layers.Layer | None = None,
        tokenizer: Any = None,
        l2: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if frontend is None:
            frontend = LogMelSpectrogram(num_bands=encoder.num_features, name="frontend")
        _check_bands(frontend, encoder)
        self.frontend = frontend
        if isinstance(augmenter, keras.Sequential):
            augmenter.supports_masking = True  # it hands the mask on, and warns that it may not
            augmenter.build((None, None, encoder.num_features))  # for batches of any size
        self.augmenter = augmenter
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.l2 = l2

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Returns tokens (batch, N), -1 at the end, their count (batch,) and frames (batch, N)."""
        raise NotImplementedError

    def score_frames(self, encoder_output: Any) -> dict[str, Any]:
        """Returns what a call gives besides, computed from each encoder frame."""
        return {}

    def token_loss(self, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """Returns the loss of the targets, without regularisation; `sample_weight` is (batch,)."""
        raise NotImplementedError

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        encoder_output, frame_length = self.encode(inputs, training)
        outputs = {"encoder_output": encoder_output, "frame_length": frame_length}
        outputs.update(self.score_frames(encoder_output))
        if not training:
            decoded = self.decode(outputs)
            outputs.update(zip(("tokens", "token_length", "token_frame"), decoded, strict=True))
        return outputs

    def encode(self, inputs: Any, training: bool = False) -> tuple[Any, Any]:
        """Returns the encoder's output (batch, T, channels) of model inputs, and its lengths."""
        features, mask = self.extract_features(inputs)
        if training and self.augmenter is not None:
            features = self.augmenter(features, mask=mask, training=True)
        encoder_output = self.encoder(features, mask=mask, training=training)
        return encoder_output, self.encoder.output_length(length_from_mask(mask))

    def extract_features(self, inputs: Any) -> tuple[Any, Any]:
        """Returns the features (batch, frames, bands) of model inputs, and their mask."""
        if not isinstance(inputs, dict):
            inputs = {"audio" if len(inputs.shape) == 2 else "features": inputs}
        kind = "audio" if "audio" in inputs else "features"
        if kind not in inputs:
            raise ValueError(
                'Expected model inputs with a key "audio" or "features". '
                f"Received: keys {sorted(inputs)}"
            )
        x = ops.convert_to_tensor(inputs[kind])
        batch, size = ops.shape(x)[0], ops.shape(x)[1]
        length = inputs.get(f"{kind}_length")
        if length is None:
            length = ops.broadcast_to(size, (batch,))
        mask = mask_from_length(ops.reshape(length, (-1,)), size)
        if kind == "features":
            return x, mask
        return self.frontend(x, mask=mask), self.frontend.compute_mask(x, mask)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *,
        metrics: Any = None,
        weighted_metrics: Any = None,
        jit_compile: Any = "auto",
        **kwargs: Any,
    ) -> None:
        """Configures training as any Keras model's `compile` does; `loss=None` is `RNNTLoss`.

        Error rates align words on the host, which XLA cannot compile under TensorFlow: with
        metrics, "auto" turns `jit_compile` off there.
        """
        on_host = keras.backend.backend() == "tensorflow" and bool(metrics or weighted_metrics)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            jit_compile=False if jit_compile == "auto" and on_host else jit_compile,
            **kwargs,
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing: every weight is there since construction.

        Under `tf.distribute` Keras takes a batch to build from, and averages it over the replicas,
        whose parts of it differ in length.
        """

    def make_train_function(self, force: bool = False) -> Any:
        # Variables that appear in the first step have TensorFlow trace that step twice.
        if not self.optimizer.built:
            with strategy_scope(self):
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        if not isinstance(y, dict) or not {"tokens", "token_length"} <= set(y):
            raise ValueError(
                'Expected targets `y` to be a dict of "tokens" (batch, U) and "token_length" '
                f"(batch,). Received: {sorted(y) if isinstance(y, dict) else type(y).__name__}"
            )
        y = {"tokens": y["tokens"], "token_length": ops.reshape(y["token_length"], (-1,))}
        weight = _weight_of_utterances(sample_weight)
        total = self._loss_of_batch(self.token_loss(y, y_pred, weight, training), y, weight)
        for regularisation in self.losses:
            total = total + share_of_replica(regularisation)
        if self.l2:
            squares = [ops.sum(ops.square(weight)) for weight in self.trainable_variables]
            total = total + share_of_replica(self.l2 * ops.sum(ops.stack(squares)))
        return total

    def _loss_of_batch(self, loss: Any, y: Any, sample_weight: Any) -> Any:
        """A replica's share in the loss of the whole batch, from that of its part."""
        reduction = getattr(self.loss, "reduction", "sum_over_batch_size")
        if reduction == "sum":
            return share_of_replica(sum_over_replicas(loss))
        if reduction == "mean_with_sample_weight" and sample_weight is not None:
            return mean_over_replicas(loss, ops.sum(sample_weight))
        return mean_over_replicas(loss, ops.shape(y["token_length"])[0])

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        return results_for_workers(self._metric_results(x, y, y_pred, sample_weight))

    def _metric_results(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        if "tokens" not in y_pred:
            return self._loss_result()
        mask = mask_from_length(ops.reshape(y["token_length"], (-1,)), ops.shape(y["tokens"])[1])
        tokens = ops.where(mask, ops.cast(y["tokens"], "int32"), -1)
        return super().compute_metrics(
            x, tokens, y_pred["tokens"], _weight_of_utterances(sample_weight)
        )

    def _loss_result(self) -> dict[str, Any]:
        return {self._loss_tracker.name: self._loss_tracker.result()}

    def get_metrics_result(self) -> dict[str, Any]:
        # Training steps compute the loss alone, so that before the first evaluation there are
        # compiled metrics that have not been built.
        if not all(getattr(metric, "built", True) for metric in self.metrics):
            return self._loss_result()
        return super().get_metrics_result()

    def transcribe(self, audio: Any, **kwargs: Any) -> str | list[str]:
        """Returns the text of an audio file or waveform, or the texts of a list of them.

        See `keras_contextnet.decoding.transcribe.transcribe` for the arguments and errors.
        """
        from keras_contextnet.decoding.transcribe import transcribe

        return transcribe(self, audio, **kwargs)

    @classmethod
    def makers(
        cls, alpha: float, vocabulary_size: int, dtype: Any
    ) -> dict[str, Callable[[], keras.layers.Layer]]:
        """Returns, by name, what makes the parts of a preset that other models do not have."""
        raise NotImplementedError

    @classmethod
    def from_preset(
        cls: type[Model], preset: str | Path, load_weights: bool | None = None, **overrides: Any
    ) -> Model:
        """Loads a model: see `keras_contextnet.models.presets.load_preset`."""
        from keras_contextnet.models.presets import load_preset

        return load_preset(preset, load_weights, cls, **overrides)

    def save_to_preset(self, folder: str | Path, half_precision: bool = False) -> None:
        """Writes the model as a folder: see `keras_contextnet.models.presets.save_preset`."""
        from keras_contextnet.models.presets import save_preset

        save_preset(self, folder, half_precision)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        parts = {part: serialize(getattr(self, part)) for part in self.parts}
        return {**super().get_config(), **parts, "l2": self.l2}

    @classmethod
    def from_config(cls: type[Model], config: dict[str, Any], custom_objects: Any = None) -> Model:
        deserialize = keras.saving.deserialize_keras_object
        built = {
            part: deserialize(config[part], custom_objects=custom_objects)
            for part in cls.parts
            if isinstance(config.get(part), dict)
        }
        return cls(**{**config, **built})


def _weight_of_utterances(sample_weight: Any) -> Any:
    """`fit` on arrays copies the weights (batch,) to every entry of the targets."""
    return sample_weight["tokens"] if isinstance(sample_weight, dict) else sample_weight


def _check_bands(frontend: Any, encoder: Any) -> None:
    bands = getattr(frontend, "num_bands", encoder.num_features)
    if bands != encoder.num_features:
        raise ValueError(
            f"Expected a `frontend` of {encoder.num_features} bands, the encoder's num_features. "
            f"Received: num_bands={bands}"
        )


def check_tokenizer(tokenizer: Any, vocabulary_size: int, built_with: str) -> None:
    """Raises ValueError unless a tokenizer has a piece for every output but the blank.

    Args:
        tokenizer: a `Tokenizer`, or None, which fits.
        vocabulary_size: int, outputs of the model.
        built_with: the parts that the error asks to build for the tokenizer.
    """
    if tokenizer is not None and tokenizer.vocabulary_size + 1 != vocabulary_size:
        raise ValueError(
            f"Expected a `tokenizer` of {vocabulary_size - 1} pieces: the model has "
            f"{vocabulary_size} outputs, one of which is the blank. Received: a tokenizer "
            f"of {tokenizer.vocabulary_size}. Build {built_with} with "
            f"vocabulary_size={tokenizer.vocabulary_size + 1}."
        )
