"""From encoder output to tokens."""

from keras_contextnet.decoding.beam import beam_decode
from keras_contextnet.decoding.ctc_greedy import ctc_greedy_decode
from keras_contextnet.decoding.greedy import greedy_decode

__all__ = ["beam_decode", "ctc_greedy_decode", "greedy_decode"]
