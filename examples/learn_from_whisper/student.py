"""A ContextNet that learns a teacher's view of speech beside the transcripts."""

from typing import Any

import keras
from keras import ops

import keras_contextnet as kc
from keras_contextnet.layers.masking import length_from_mask, mask_from_length


class Student(kc.ContextNet):
    """A transducer with the weights of another, whose encoder also predicts a teacher's features.

    Two dense layers predict them, one from the last block and one from a block before: their mean
    squared errors, summed over an utterance's frames, join the loss. What they need is in targets
    `y` as `teacher` (batch, T, channels).

    Args:
        transducer: `ContextNet` whose parts learn.
        augmenter: layer on the features while training, which must leave time alone.
        channels: int. Of the teacher's features.
        weight: float. Weight of each of the two errors.
        middle: int. Number of the block before.
    """

    def __init__(
        self,
        transducer: kc.ContextNet,
        augmenter: keras.layers.Layer | None,
        channels: int,
        weight: float = 0.5,
        middle: int = 8,
    ) -> None:
        parts = {part: getattr(transducer, part) for part in self.parts}
        parts["augmenter"] = augmenter
        super().__init__(
            **parts,
            max_symbols_per_frame=transducer.max_symbols_per_frame,
            ctc_weight=transducer.ctc_weight,
            beam_width=transducer.beam_width,
            name=transducer.name,
        )
        blocks = self.encoder.blocks[middle], self.encoder.blocks[-1]
        self.blocks = keras.Model(self.encoder.input, [block.output for block in blocks])
        self.blocks.supports_masking = True  # each block hands the mask on
        self.heads = [keras.layers.Dense(channels, name=f"teacher_{i}") for i in range(2)]
        for head, block in zip(self.heads, blocks, strict=True):
            head.build(block.output.shape)
        self.weight = weight

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        if not training:
            return super().call(inputs)
        features, mask = self.extract_features(inputs)
        if self.augmenter is not None:
            features = self.augmenter(features, mask=mask, training=True)
        middle, last = self.blocks(features, mask=mask, training=True)  # (batch, T, channels) each
        frame_length = self.encoder.output_length(length_from_mask(mask))
        return {"encoder_output": last, "middle": middle, "frame_length": frame_length}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        heard = y_pred["middle"], y_pred["encoder_output"]
        for head, x in zip(self.heads, heard, strict=True):
            loss += self.weight * _error(head(x), y["teacher"], y_pred["frame_length"])
        return loss

    def learn_heads_alone(self, alone: bool) -> None:
        """Keeps the transducer as it is, or no longer; compile the model after it.

        Layers that know nothing yet would first lead the encoder astray.
        """
        for part in (self.encoder, self.predictor, self.joiner, self.ctc_head):
            if part is not None:
                part.trainable = not alone

    def transducer(self) -> kc.ContextNet:
        """Returns the transducer without the teacher's layers."""
        return kc.ContextNet(
            **{part: getattr(self, part) for part in self.parts},
            max_symbols_per_frame=self.max_symbols_per_frame,
            ctc_weight=self.ctc_weight,
            beam_width=self.beam_width,
            name=self.name,
        )


def _error(predicted: Any, wanted: Any, frame_length: Any) -> Any:
    """Mean over utterances of the sum over their frames of the mean squared error."""
    squares = ops.mean(ops.square(predicted - wanted), axis=-1)  # (batch, T)
    mask = mask_from_length(frame_length, ops.shape(squares)[1])
    return ops.mean(ops.sum(ops.where(mask, squares, 0.0), axis=1))
