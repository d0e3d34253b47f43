"""A small transducer of random weights, in Keras and in NumPy, and how to run a decoder on it."""

import keras
import numpy as np

import keras_contextnet as kc

BLANK = 6
LENGTHS = np.array([9, 0, 1, 5], "int32")


def make_parts(seed, blank_bias, blank_id=BLANK):
    """Random predictor and joiner for 7 outputs; the bias decides how often the blank wins."""
    rng = np.random.default_rng(seed)
    predictor = kc.Predictor(7, embedding_size=5, units=6, blank_id=blank_id)
    joiner = kc.Joiner(7, units=8)
    predictor.build()
    joiner.build((None, None, 4), (None, None, 6))
    for layer in (predictor, joiner):
        layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    bias = np.zeros(7)
    bias[blank_id] = blank_bias
    joiner.output_projection.bias.assign(bias)
    return predictor, joiner


def make_frames(seed):
    """(4, 9, 4); what lies past a row's length is loud and must not be heard."""
    frames = np.random.default_rng(seed).normal(size=(4, 9, 4)).astype("float32") * 2
    frames[np.arange(9) >= LENGTHS[:, None]] = 50.0
    return frames


class NumpyTransducer:
    """The same in NumPy and float64: Keras's LSTM (gates i, f, c, o) and the joint network."""

    def __init__(self, predictor, joiner):
        self.blank = predictor.blank_id
        self.lstm = [w.astype("float64") for w in predictor.get_weights()]
        self.joint = [w.astype("float64") for w in joiner.get_weights()]
        self.start = self.read(self.blank, (np.zeros(predictor.units),) * 2)

    def read(self, token, state):
        """The state after a token; its first part is the output."""
        embeddings, kernel, recurrent, bias = self.lstm
        h, c = state
        i, f, g, o = np.split(embeddings[token] @ kernel + h @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        return o * np.tanh(c), c

    def log_probs(self, frame, state):
        """(vocabulary,)"""
        encoder_kernel, encoder_bias, predictor_kernel, predictor_bias, kernel, bias = self.joint
        joint = frame @ encoder_kernel + encoder_bias + state[0] @ predictor_kernel + predictor_bias
        logits = np.tanh(joint) @ kernel + bias
        return logits - np.log(np.sum(np.exp(logits)))


def run_decoder(decoder, frames, lengths, parts, *options, limit=3, compiled=True):
    """As lists of (token, frame); compiled as a tf.function of unknown sizes, or by jax.jit."""

    def function(frames, lengths):
        return decoder(frames, lengths, *parts, *options, max_symbols_per_frame=limit)

    if compiled and keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    elif compiled:
        import tensorflow as tf

        function = tf.function(
            function,
            input_signature=[tf.TensorSpec((None, None, 4)), tf.TensorSpec((None,), "int32")],
        )
    tokens, count, frame = (np.asarray(value) for value in function(frames, lengths))
    assert tokens.shape == frame.shape == (len(frames), frames.shape[1] * limit)
    assert tokens.dtype == count.dtype == frame.dtype == np.int32
    pairs = np.stack([tokens, frame], axis=-1)
    for row, length in zip(pairs, count, strict=True):
        assert (row[length:] == -1).all()
    rows = zip(pairs.tolist(), count, strict=True)
    return [list(map(tuple, row[:length])) for row, length in rows]
