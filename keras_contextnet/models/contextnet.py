"""ContextNet: front end, encoder, predictor and joiner in one Keras model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import keras

from keras_contextnet.decoding.beam import beam_decode
from keras_contextnet.decoding.greedy import greedy_decode
from keras_contextnet.losses import CTCLoss, RNNTLoss
from keras_contextnet.losses.transducer_loss import TransducerLoss
from keras_contextnet.models.joiner import Joiner
from keras_contextnet.models.paper_presets import PRESETS
from keras_contextnet.models.predictor import Predictor
from keras_contextnet.models.speech_model import SpeechModel, check_tokenizer
from keras_contextnet.models.trained_presets import TRAINED_PRESETS

if TYPE_CHECKING:
    from keras_contextnet.decoding.align import Alignment


@keras.saving.register_keras_serializable(package="keras_contextnet")
class ContextNet(SpeechModel):
    """The ContextNet transducer: speech in, token ids out.

    Inputs `x` are a dict of `audio` (batch, samples) and `audio_length` (batch,), in samples, or of
    `features` (batch, frames, bands) and `features_length` (batch,), in frames; a bare tensor of
    rank 2 or 3 is audio or features without padding. Targets `y` are a dict of `tokens` (batch, U)
    and `token_length` (batch,). `keras_contextnet.data.make_dataset` yields such pairs.

    Without a `loss` in `compile()` the model trains with `RNNTLoss` and its own blank, so that the
    lattice of logits is never in memory. Another `loss` gets `y_true` as above, and in `y_pred`
    `encoder_output`, `predictor_output`, `frame_length` and the layers `joiner` and `simple_joiner`
    if it is one of `keras_contextnet.losses`, else `logits` and `frame_length`. Metrics get
    token ids padded with -1: those of `y`, and the transcript; they are computed in `evaluate` and
    validation, not in training steps.

    With a `ctc_head` the loss, in training and in evaluation, is that of the transducer plus
    `ctc_weight` times the CTC loss of the encoder's output, as with Keras's `loss_weights`: the
    transducer's share stays what it is without a head. (NeMo's weight w, which takes 1 - w from the
    transducer, is w / (1 - w) here.) An utterance whose tokens do not fit its frames has a CTC loss
    of 0. Inference and exports have no use for the head. It may have learnt before, in a
    `ContextNetCTC`.

    Args:
        encoder: `ContextNetEncoder`, or any Keras model or layer with its attributes.
        predictor: `Predictor`. Its blank is the model's.
        joiner: `Joiner`.
        frontend: layer from audio to features; a `LogMelSpectrogram` if None.
        augmenter: optional layer on the features while training, such as `SpecAugment`, or a
            `keras.Sequential` of some.
        tokenizer: optional `keras_contextnet.text.Tokenizer`, needed for text.
        simple_joiner: `SimpleJoiner`, which training with `PrunedRNNTLoss` needs.
        max_symbols_per_frame: int. Tokens that decoding may emit in one encoder frame.
        l2: float. Weight of the squared norm of all trainable weights in the loss; the paper's
            is 1e-6.
        ctc_head: optional `CTCHead`, for the CTC loss.
        ctc_weight: float, 0 or more. Weight of the CTC loss.
        beam_width: int. Transcripts that decoding follows at once; 1 decodes greedily. A beam of 4
            makes fewer errors, and several times the decoder's work.
        **kwargs: of `keras.Model`.

    Returns:
        In a call, a dict: `encoder_output` (batch, T, channels), `frame_length` (batch,) and,
        unless training, the decoded `tokens` (batch, N), -1 where a row has ended, `token_length`
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
        **{name: preset.description for name, preset in PRESETS.items()},
        **TRAINED_PRESETS,
    }

    parts: ClassVar[tuple[str, ...]] = (
        *SpeechModel.parts,
        "predictor",
        "joiner",
        "simple_joiner",
        "ctc_head",
    )

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
        ctc_head: keras.layers.Layer | None = None,
        ctc_weight: float = 0.3,
        beam_width: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, frontend, augmenter, tokenizer, l2, **kwargs)
        _check_vocabularies(joiner, predictor, simple_joiner, ctc_head)
        check_tokenizer(tokenizer, joiner.vocabulary_size, "predictor and joiner")
        if ctc_weight < 0:
            raise ValueError(f"Expected `ctc_weight` to be 0 or more. Received: {ctc_weight}")
        if not isinstance(beam_width, int) or beam_width < 1:
            raise ValueError(f"Expected `beam_width` to be 1 or more. Received: {beam_width!r}")
        self.predictor = predictor
        self.joiner = joiner
        self.simple_joiner = simple_joiner
        self.ctc_head = ctc_head
        self.max_symbols_per_frame = max_symbols_per_frame
        self.ctc_weight = ctc_weight
        self.beam_width = beam_width
        self._build_parts()

    def _build_parts(self) -> None:
        """Creates every weight now, so that a model can be saved before its first call."""
        frames = (None, None, self.encoder.output_channels)
        if not self.predictor.built:
            self.predictor.build((None, None))
        for joiner in (self.joiner, self.simple_joiner):
            if joiner is not None and not joiner.built:
                joiner.build(frames, (None, None, self.predictor.units))
        if self.ctc_head is not None and not self.ctc_head.built:
            self.ctc_head.build(frames)
        self.built = True

    @property
    def blank_id(self) -> int:
        """The token id that means "move on to the next frame"."""
        return self.predictor.blank_id

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Returns the transcript of the encoder's output: see `greedy_decode`, `beam_decode`."""
        heard = outputs["encoder_output"], outputs["frame_length"]
        parts, limit = (self.predictor, self.joiner), self.max_symbols_per_frame
        if self.beam_width == 1:
            return greedy_decode(*heard, *parts, limit)
        return beam_decode(*heard, *parts, self.beam_width, limit)

    def lattice(self, encoder_output: Any, tokens: Any, training: bool = False) -> Any:
        """Returns the logits (batch, T, U + 1, vocabulary) of `tokens` (batch, U)."""
        return self.joiner(encoder_output, self.predictor(tokens, training=training))

    def token_loss(self, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """Returns the transducer's loss, and the CTC loss times its weight."""
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
        frame_length = y_pred["frame_length"]
        total = loss(y, {**outputs, "frame_length": frame_length}, sample_weight)
        if self.ctc_head is None or not self.ctc_weight:
            return total
        ctc_loss = CTCLoss(
            self.ctc_head.blank_id, getattr(loss, "reduction", "sum_over_batch_size")
        )
        logits = self.ctc_head(y_pred["encoder_output"])  # (batch, T, vocabulary)
        frames = {"logits": logits, "frame_length": frame_length}
        return total + self.ctc_weight * ctc_loss(y, frames, sample_weight)

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
    def makers(
        cls, alpha: float, vocabulary_size: int, dtype: Any
    ) -> dict[str, Callable[[], keras.layers.Layer]]:
        """Returns what makes the predictor and joiner of a preset."""
        joint = round(640 * alpha)
        return {
            "predictor": lambda: Predictor(vocabulary_size, dtype=dtype, name="predictor"),
            "joiner": lambda: Joiner(vocabulary_size, joint, dtype=dtype, name="joiner"),
        }

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

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_symbols_per_frame": self.max_symbols_per_frame,
            "ctc_weight": self.ctc_weight,
            "beam_width": self.beam_width,
        }


def _check_vocabularies(joiner: Any, predictor: Any, simple_joiner: Any, ctc_head: Any) -> None:
    others = {"predictor": predictor, "simple_joiner": simple_joiner, "ctc_head": ctc_head}
    for name, part in others.items():
        if part is not None and part.vocabulary_size != joiner.vocabulary_size:
            raise ValueError(
                f"Expected `{name}` and `joiner` to have the same vocabulary_size. Received: "
                f"{part.vocabulary_size} and {joiner.vocabulary_size}"
            )
    if ctc_head is not None and ctc_head.blank_id != predictor.blank_id:
        raise ValueError(
            "Expected `ctc_head` and `predictor` to have the same blank_id. Received: "
            f"{ctc_head.blank_id} and {predictor.blank_id}"
        )
