"""From encoder output to tokens."""

from keras_contextnet.decoding.greedy import greedy_decode

__all__ = ["greedy_decode"]
