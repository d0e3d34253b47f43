"""ContextNetCTC: front end, encoder and CTC head in one Keras model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keras

from keras_contextnet.decoding.ctc_greedy import ctc_greedy_decode
from keras_contextnet.losses import CTCLoss
from keras_contextnet.models.ctc_head import CTCHead
from keras_contextnet.models.paper_presets import PRESETS
from keras_contextnet.models.speech_model import SpeechModel, check_tokenizer


@keras.saving.register_keras_serializable(package="keras_contextnet")
class ContextNetCTC(SpeechModel):
    """ContextNet's encoder trained by CTC: speech in, token ids out.

    It trains faster than the transducer and needs less memory, but each frame's token is chosen
    without regard to the others, and an utterance of more tokens than frames cannot be written:
    such ones have a loss of 0. Its encoder and head may go on in a `ContextNet`, as below.

    Inputs, targets and metrics are those of `ContextNet`. Without a `loss` in `compile()` the model
    trains with `CTCLoss` and its own blank. Another `loss` gets the targets as `y_true`, and in
    `y_pred` `logits` and `frame_length`.

    Args:
        encoder: `ContextNetEncoder`, or any Keras model or layer with its attributes.
        ctc_head: `CTCHead`. Its blank is the model's.
        frontend: layer from audio to features; a `LogMelSpectrogram` if None.
        augmenter: optional layer on the features while training, such as `SpecAugment`, or a
            `keras.Sequential` of some.
        tokenizer: optional `keras_contextnet.text.Tokenizer`, needed for text.
        l2: float. Weight of the squared norm of all trainable weights in the loss.
        **kwargs: of `keras.Model`.

    Returns:
        In a call, a dict: `encoder_output` (batch, T, channels), `logits` (batch, T, vocabulary),
        `frame_length` (batch,) and, unless training, the greedy `tokens` (batch, T), -1 where a row
        has ended, `token_length` (batch,), and `token_frame` (batch, T), the encoder frame at which
        each token begins.

    Raises:
        ValueError: where the parts' sizes do not fit each other.

    Example:

    ```python
    import numpy as np
    import keras_contextnet as kc

    ctc = kc.ContextNetCTC(
        encoder=kc.ContextNetEncoder(blocks=[{"filters": 16, "num_convs": 1, "strides": 2}]),
        ctc_head=kc.CTCHead(vocabulary_size=29),
        tokenizer=kc.text.CharacterTokenizer(),
    )
    audio = np.random.default_rng(0).normal(size=(2, 16000)).astype("float32")
    y = {"tokens": np.array([[1, 2], [3, 0]]), "token_length": np.array([2, 1])}
    ctc.compile(optimizer="adam")
    ctc.fit(audio, y, epochs=1, verbose=0)
    print(type(ctc.transcribe(audio[0])))  # <class 'str'>

    # The transducer goes on from there, with CTC beside it.
    model = kc.ContextNet(
        encoder=ctc.encoder,
        predictor=kc.Predictor(vocabulary_size=29, embedding_size=16, units=16),
        joiner=kc.Joiner(vocabulary_size=29, units=16),
        frontend=ctc.frontend,
        tokenizer=ctc.tokenizer,
        ctc_head=ctc.ctc_head,
        ctc_weight=0.3,
    )
    model.compile(optimizer="adam")
    model.fit(audio, y, epochs=1, verbose=0)
    ```

    Source: Graves et al. 2006, "Connectionist Temporal Classification"; the encoder is that of
    ContextNet (arXiv 2005.03191).
    """

    presets: ClassVar[dict[str, str]] = {
        name: preset.ctc_description for name, preset in PRESETS.items()
    }
    parts: ClassVar[tuple[str, ...]] = (*SpeechModel.parts, "ctc_head")

    def __init__(
        self,
        encoder: keras.Model,
        ctc_head: keras.layers.Layer,
        frontend: keras.layers.Layer | None = None,
        augmenter: keras.layers.Layer | None = None,
        tokenizer: Any = None,
        l2: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, frontend, augmenter, tokenizer, l2, **kwargs)
        check_tokenizer(tokenizer, ctc_head.vocabulary_size, "ctc_head")
        self.ctc_head = ctc_head
        if not ctc_head.built:
            ctc_head.build((None, None, encoder.output_channels))
        self.built = True

    @property
    def blank_id(self) -> int:
        """The token id that means "nothing new in this frame"."""
        return self.ctc_head.blank_id

    def score_frames(self, encoder_output: Any) -> dict[str, Any]:
        """Returns the logits of encoder frames."""
        return {"logits": self.ctc_head(encoder_output)}  # (batch, T, vocabulary)

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Returns the greedy transcript: see `ctc_greedy_decode`."""
        return ctc_greedy_decode(outputs["logits"], outputs["frame_length"], self.blank_id)

    def token_loss(self, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """Returns the CTC loss."""
        loss = self.loss if self.loss is not None else CTCLoss(self.blank_id)
        frames = {name: y_pred[name] for name in ("logits", "frame_length")}
        return loss(y, frames, sample_weight)

    @classmethod
    def makers(
        cls, alpha: float, vocabulary_size: int, dtype: Any
    ) -> dict[str, Callable[[], keras.layers.Layer]]:
        """Returns what makes the head of a preset."""
        return {"ctc_head": lambda: CTCHead(vocabulary_size, dtype=dtype, name="ctc_head")}

    def export(self, filepath: str | Path, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Writes a SavedModel: see `keras_contextnet.export.export_saved_model`.

        Args:
            filepath: where to; a folder.
            format: "tf_saved_model".
            **kwargs: of `export_saved_model`.

        Raises:
            ValueError: for another format. LiteRT files hold a transducer.
        """
        if format != "tf_saved_model":
            raise ValueError(
                'Expected `format` to be "tf_saved_model" for a ContextNetCTC. Received: '
                f"format={format!r}. A ContextNet exports to LiteRT: go on with this encoder in "
                "ContextNet(encoder=model.encoder, ctc_head=model.ctc_head, ...)."
            )
        from keras_contextnet.export import export_saved_model

        export_saved_model(self, filepath, **kwargs)
