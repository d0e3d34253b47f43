"""From encoder output to tokens."""

from keras_contextnet.decoding.ctc_greedy import ctc_greedy_decode
from keras_contextnet.decoding.greedy import greedy_decode

__all__ = ["ctc_greedy_decode", "greedy_decode"]
