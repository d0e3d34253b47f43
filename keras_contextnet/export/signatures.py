"""The functions that an exported file offers, and what they take and give."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras import ops

if TYPE_CHECKING:
    from keras_contextnet.models import ContextNet
    from keras_contextnet.models.speech_model import SpeechModel

# What each signature takes and gives, as its documentation and the file's metadata say it.
AUDIO = {
    "audio": "float32 (batch, samples): mono waveforms in [-1, 1]",
    "audio_length": "int32 (batch,): samples of each waveform",
}
SIGNATURES = {
    "transcribe": {
        "inputs": AUDIO,
        "outputs": {
            "tokens": "int32 (batch, N): token ids, then -1",
            "token_length": "int32 (batch,): tokens of each row",
            "token_frame": "int32 (batch, N): the frame of each token, then -1",
        },
    },
    "encode": {
        "inputs": AUDIO,
        "outputs": {
            "frames": "float32 (batch, T, units): the encoder's output, projected for the joiner",
            "frame_length": "int32 (batch,): frames of each row",
        },
    },
    "predict": {
        "inputs": {
            "token": "int32 (batch,): the token just written; the blank at the start",
            "state": "float32 (batch, state_size): zeros at the start",
        },
        "outputs": {
            "prediction": "float32 (batch, units): what the joiner takes",
            "next_state": "float32 (batch, state_size): the state after the token",
        },
    },
    "join": {
        "inputs": {
            "frame": "float32 (batch, units): one of `frames`",
            "prediction": "float32 (batch, units)",
        },
        "outputs": {"logits": "float32 (batch, vocabulary): the likeliest is written, or blank"},
    },
}


def make_transcribe_signature(model: SpeechModel) -> dict[str, Any]:
    """Returns a `tf.function` for the signature `transcribe` alone, which every model has."""

    def transcribe(audio: Any, audio_length: Any) -> dict[str, Any]:
        return _transcript(model(_inputs(model, audio, audio_length), training=False))

    return {"transcribe": _function(transcribe, _audio_specs())}


def make_signatures(model: ContextNet) -> dict[str, Any]:
    """Returns a `tf.function` for each of `SIGNATURES`; they share the model's weights."""

    def encode(audio: Any, audio_length: Any) -> dict[str, Any]:
        frames, frame_length = model.encode(_inputs(model, audio, audio_length))
        return {"frames": model.joiner.encoder_projection(frames), "frame_length": frame_length}

    return {
        **make_transcribe_signature(model),
        "encode": _function(encode, _audio_specs()),
        **_step_signatures(model),
    }


def make_merged_signatures(model: ContextNet) -> dict[str, Any]:
    """Returns the signatures with `encode` merged into `transcribe`, which gives its outputs too.

    So the encoder is traced once.
    """

    def transcribe(audio: Any, audio_length: Any) -> dict[str, Any]:
        outputs = model(_inputs(model, audio, audio_length), training=False)
        return {
            **_transcript(outputs),
            "frames": model.joiner.encoder_projection(outputs["encoder_output"]),
            "frame_length": outputs["frame_length"],
        }

    return {"transcribe": _function(transcribe, _audio_specs()), **_step_signatures(model)}


def _inputs(model: SpeechModel, audio: Any, audio_length: Any) -> dict[str, Any]:
    """The model's inputs, with zeros behind audio that is too short for a single frame.

    LiteRT has no tensors of no frames.
    """
    shortest = getattr(model.frontend, "hop", 1)  # samples
    missing = ops.maximum(shortest - ops.shape(audio)[1], 0)
    return {"audio": ops.pad(audio, [[0, 0], [0, missing]]), "audio_length": audio_length}


def _transcript(outputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs of `transcribe`, none of them straight from the decoder's loop.

    LiteRT's newer interface, CompiledModel, hands out memory that it never filled for outputs whose
    size a loop decides.
    """
    length = outputs["token_length"]
    positions = ops.arange(ops.shape(outputs["tokens"])[1], dtype="int32")
    written = ops.expand_dims(positions, 0) < ops.expand_dims(length, 1)
    return {
        "tokens": ops.where(written, outputs["tokens"], -1),
        "token_length": ops.sum(ops.cast(written, "int32"), axis=1),
        "token_frame": ops.where(written, outputs["token_frame"], -1),
    }


def _step_signatures(model: ContextNet) -> dict[str, Any]:
    import tensorflow as tf

    def predict(token: Any, state: Any) -> dict[str, Any]:
        states = ops.split(state, 2 * model.predictor.num_layers, axis=-1)
        output, states = model.predictor.step(token, states)
        return {
            "prediction": model.joiner.predictor_projection(output),
            "next_state": ops.concatenate(states, axis=-1),
        }

    def join(frame: Any, prediction: Any) -> dict[str, Any]:
        return {"logits": model.joiner.join(frame, prediction)}

    token = tf.TensorSpec((None,), tf.int32, name="token")
    state = tf.TensorSpec((None, state_size(model)), tf.float32, name="state")
    frame, prediction = (
        tf.TensorSpec((None, model.joiner.units), tf.float32, name=name)
        for name in SIGNATURES["join"]["inputs"]
    )
    return {
        "predict": _function(predict, (token, state)),
        "join": _function(join, (frame, prediction)),
    }


def _audio_specs() -> tuple[Any, Any]:
    import tensorflow as tf

    return (
        tf.TensorSpec((None, None), tf.float32, name="audio"),
        tf.TensorSpec((None,), tf.int32, name="audio_length"),
    )


def _function(function: Callable[..., dict[str, Any]], specs: tuple[Any, ...]) -> Any:
    import tensorflow as tf

    @functools.wraps(function)
    def without_gradients(*inputs: Any) -> dict[str, Any]:
        outputs = function(*inputs)
        _forget_gradients(tf.compat.v1.get_default_graph())
        return outputs

    return tf.function(without_gradients, input_signature=specs, autograph=False)


def state_size(model: ContextNet) -> int:
    """Returns the width of the predictor's state: two vectors for each LSTM."""
    return 2 * model.predictor.num_layers * model.predictor.units


def _forget_gradients(graph: Any) -> None:
    """Removes the names of custom gradients (of swish, of batch norm) from a graph's operations.

    Nobody takes gradients of an export. Saved, they would more than double its size and the time to
    load it; unsaved but named, they make TensorFlow warn whoever loads it.
    """
    for operation in graph.get_operations():
        if "_gradient_op_type" in operation.node_def.attr:
            operation._clear_attr("_gradient_op_type")
