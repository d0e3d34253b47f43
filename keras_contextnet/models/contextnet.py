"""ContextNet: front end, encoder, predictor and joiner in one Keras model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import keras
from keras import ops

from keras_contextnet.decoding.greedy import greedy_decode
from keras_contextnet.layers import LogMelSpectrogram
from keras_contextnet.layers.masking import length_from_mask, mask_from_length
from keras_contextnet.losses import RNNTLoss
from keras_contextnet.losses.transducer_loss import TransducerLoss
from keras_contextnet.models.presets import PRESETS

if TYPE_CHECKING:
    from keras_contextnet.decoding.align import Alignment


@keras.saving.register_keras_serializable(package="keras_contextnet")
class ContextNet(keras.Model):
    """The ContextNet transducer: speech in, token ids out.

    Inputs `x` are a dict of `audio` (batch, samples) and `audio_length` (batch,), in samples, or of
    `features` (batch, frames, bands) and `features_length` (batch,), in frames; a bare tensor of
    rank 2 or 3 is audio or features without padding. Targets `y` are a dict of `tokens` (batch, U)
    and `token_length` (batch,). `keras_contextnet.data.make_dataset` yields such pairs.

    Without a `loss` in `compile()` the model trains with `RNNTLoss` and its own blank, so that the
    lattice of logits is never in memory. Another `loss` gets `y_true` as above, and in `y_pred`
    `encoder_output`, `predictor_output`, `frame_length` and the layers `joiner` and `simple_joiner`
    if it is one of `keras_contextnet.losses`, else `logits` and `frame_length`. Metrics get
    token ids padded with -1: those of `y`, and the greedy transcript; they are computed in
    `evaluate` and validation, not in training steps.

    Args:
        encoder: `ContextNetEncoder`, or any Keras model or layer with its attributes.
        predictor: `Predictor`. Its blank is the model's.
        joiner: `Joiner`.
        frontend: layer from audio to features; a `LogMelSpectrogram` if None.
        augmenter: optional layer on the features while training, such as `SpecAugment`.
        tokenizer: optional `keras_contextnet.text.Tokenizer`, needed for text.
        simple_joiner: `SimpleJoiner`, which training with `PrunedRNNTLoss` needs.
        max_symbols_per_frame: int. Tokens that greedy decoding may emit in one encoder frame.
        l2: float. Weight of the squared norm of all trainable weights in the loss; the paper's
            is 1e-6.
        **kwargs: of `keras.Model`.

    Returns:
        In a call, a dict: `encoder_output` (batch, T, channels), `frame_length` (batch,) and,
        unless training, the greedy `tokens` (batch, N), -1 where a row has ended, `token_length`
        (batch,), and `token_frame` (batch, N), the encoder frame of each token.

    Raises:
        ValueError: where the parts' sizes do not fit each other.

    Example:

    ```python
    import numpy as np
    import keras_contextnet as kc

    model = kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=[{"filters": 16, "num_convs": 1, "strides": 2}]),
        predictor=kc.Predictor(vocabulary_size=29, embedding_size=16, units=16),
        joiner=kc.Joiner(vocabulary_size=29, units=16),
        tokenizer=kc.text.CharacterTokenizer(),
    )
    audio = np.random.default_rng(0).normal(size=(2, 16000)).astype("float32")
    y = {"tokens": np.array([[1, 2], [3, 0]]), "token_length": np.array([2, 1])}
    model.compile(optimizer="adam")
    model.fit(audio, y, epochs=1, verbose=0)
    print(type(model.transcribe(audio[0])))  # <class 'str'>
    ```

    Source: ContextNet (arXiv 2005.03191), section 2.
    """

    presets: ClassVar[dict[str, str]] = {
        name: preset.description for name, preset in PRESETS.items()
    }

    def __init__(
        self,
        encoder: keras.Model,
        predictor: keras.layers.Layer,
        joiner: keras.layers.Layer,
        frontend: keras.layers.Layer | None = None,
        augmenter: keras.layers.Layer | None = None,
        tokenizer: Any = None,
        simple_joiner: keras.layers.Layer | None = None,
        max_symbols_per_frame: int = 10,
        l2: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if frontend is None:
            frontend = LogMelSpectrogram(num_bands=encoder.num_features, name="frontend")
        _check_sizes(encoder, predictor, joiner, simple_joiner, frontend, tokenizer)
        self.frontend = frontend
        self.augmenter = augmenter
        self.encoder = encoder
        self.predictor = predictor
        self.joiner = joiner
        self.tokenizer = tokenizer
        self.simple_joiner = simple_joiner
        self.max_symbols_per_frame = max_symbols_per_frame
        self.l2 = l2
        self._build_parts()

    def _build_parts(self) -> None:
        """Creates every weight now, so that a model can be saved before its first call."""
        if not self.predictor.built:
            self.predictor.build((None, None))
        for joiner in (self.joiner, self.simple_joiner):
            if joiner is not None and not joiner.built:
                joiner.build(
                    (None, None, self.encoder.output_channels), (None, None, self.predictor.units)
                )
        self.built = True

    @property
    def blank_id(self) -> int:
        """The token id that means "move on to the next frame"."""
        return self.predictor.blank_id

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        encoder_output, frame_length = self.encode(inputs, training)
        outputs = {"encoder_output": encoder_output, "frame_length": frame_length}
        if not training:
            decoded = greedy_decode(
                encoder_output,
                frame_length,
                self.predictor,
                self.joiner,
                self.max_symbols_per_frame,
            )
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

    def lattice(self, encoder_output: Any, tokens: Any, training: bool = False) -> Any:
        """Returns the logits (batch, T, U + 1, vocabulary) of `tokens` (batch, U)."""
        return self.joiner(encoder_output, self.predictor(tokens, training=training))

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

    def make_train_function(self, force: bool = False) -> Any:
        # Variables that appear in the first step have TensorFlow trace that step twice.
        if not self.optimizer.built:
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
        loss = self.loss if self.loss is not None else RNNTLoss(self.blank_id)
        predictor_output = self.predictor(y["tokens"], training=training)
        if isinstance(loss, TransducerLoss):
            outputs = {
                "encoder_output": y_pred["encoder_output"],
                "predictor_output": predictor_output,
                "joiner": self.joiner,
                "simple_joiner": self.simple_joiner,
            }
        else:
            outputs = {"logits": self.joiner(y_pred["encoder_output"], predictor_output)}
        total = loss(
            {"tokens": y["tokens"], "token_length": ops.reshape(y["token_length"], (-1,))},
            {**outputs, "frame_length": y_pred["frame_length"]},
            _weight_of_utterances(sample_weight),
        )
        for regularisation in self.losses:
            total = total + regularisation
        if self.l2:
            squares = [ops.sum(ops.square(weight)) for weight in self.trainable_variables]
            total = total + self.l2 * ops.sum(ops.stack(squares))
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
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

    def align(self, audio: Any, text: str, sample_rate: int = 16000) -> Alignment:
        """Returns when each piece of a text is said: see `keras_contextnet.decoding.align`."""
        from keras_contextnet.decoding.align import align

        return align(self, audio, text, sample_rate)

    def export(self, filepath: str | Path, format: str = "tf_saved_model", **kwargs: Any) -> Any:
        """Writes a model that runs without this package: waveforms in, token ids out.

        Args:
            filepath: where to; a folder for a SavedModel, a `.tflite` file for LiteRT.
            format: "tf_saved_model" or "litert".
            **kwargs: of `keras_contextnet.export.export_saved_model` and `export_litert`, such as
                `quantization` and `verify`.

        Returns:
            For LiteRT with `verify`, how the file's transcripts compare with the model's.

        Raises:
            ValueError: for another format.
        """
        from keras_contextnet.export import export_model

        return export_model(self, filepath, format, **kwargs)

    @classmethod
    def from_preset(
        cls, preset: str | Path, load_weights: bool | None = None, **overrides: Any
    ) -> ContextNet:
        """Loads a model: see `keras_contextnet.models.presets.load_preset`."""
        from keras_contextnet.models.presets import load_preset

        return load_preset(preset, load_weights, **overrides)

    @classmethod
    def from_nemo(
        cls,
        path: str | Path,
        legacy_features: bool | None = None,
        dtype: Any = None,
        **overrides: Any,
    ) -> ContextNet:
        """Loads a ContextNet of NVIDIA NeMo from its `.nemo` file.

        Args:
            path: of the file; neither NeMo nor PyTorch is needed.
            legacy_features: bool or None. Whether the model was trained with the features of NeMo
                until 2.4, as every published ContextNet was; None goes by the version in the file.
            dtype: Keras dtype policy of all parts.
            **overrides: arguments of `ContextNet` in place of the file's.

        Raises:
            FileNotFoundError: if there is no file at `path`.
            NemoFileError: for a broken file, or a model that is not a ContextNet transducer.

        Example:

        ```python
        import keras_contextnet as kc

        model = kc.ContextNet.from_nemo("stt_en_contextnet_256.nemo")
        print(model.transcribe("examples/audio/2136-5147-0021.opus"))
        ```
        """
        from keras_contextnet.interop.nemo import NemoCheckpoint

        return NemoCheckpoint(path).to_contextnet(legacy_features, dtype, **overrides)

    def save_to_preset(self, folder: str | Path) -> None:
        """Writes the model as a folder: see `keras_contextnet.models.presets.save_preset`."""
        from keras_contextnet.models.presets import save_preset

        save_preset(self, folder)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "predictor": serialize(self.predictor),
            "joiner": serialize(self.joiner),
            "frontend": serialize(self.frontend),
            "augmenter": serialize(self.augmenter),
            "tokenizer": serialize(self.tokenizer),
            "simple_joiner": serialize(self.simple_joiner),
            "max_symbols_per_frame": self.max_symbols_per_frame,
            "l2": self.l2,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ContextNet:
        parts = (
            "encoder",
            "predictor",
            "joiner",
            "frontend",
            "augmenter",
            "tokenizer",
            "simple_joiner",
        )
        deserialize = keras.saving.deserialize_keras_object
        built = {
            part: deserialize(config[part], custom_objects=custom_objects)
            for part in parts
            if isinstance(config.get(part), dict)
        }
        return cls(**{**config, **built})


def _weight_of_utterances(sample_weight: Any) -> Any:
    """`fit` on arrays copies the weights (batch,) to every entry of the targets."""
    return sample_weight["tokens"] if isinstance(sample_weight, dict) else sample_weight


def _check_sizes(
    encoder: Any, predictor: Any, joiner: Any, simple_joiner: Any, frontend: Any, tokenizer: Any
) -> None:
    for name, part in (("predictor", predictor), ("simple_joiner", simple_joiner)):
        if part is not None and part.vocabulary_size != joiner.vocabulary_size:
            raise ValueError(
                f"Expected `{name}` and `joiner` to have the same vocabulary_size. Received: "
                f"{part.vocabulary_size} and {joiner.vocabulary_size}"
            )
    bands = getattr(frontend, "num_bands", encoder.num_features)
    if bands != encoder.num_features:
        raise ValueError(
            f"Expected a `frontend` of {encoder.num_features} bands, the encoder's num_features. "
            f"Received: num_bands={bands}"
        )
    if tokenizer is not None and tokenizer.vocabulary_size + 1 != joiner.vocabulary_size:
        raise ValueError(
            f"Expected a `tokenizer` of {joiner.vocabulary_size - 1} pieces: the model has "
            f"{joiner.vocabulary_size} outputs, one of which is the blank. Received: a tokenizer "
            f"of {tokenizer.vocabulary_size}. Build predictor and joiner with "
            f"vocabulary_size={tokenizer.vocabulary_size + 1}."
        )
