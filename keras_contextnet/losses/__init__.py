"""Losses for transducers."""

from keras_contextnet.losses.rnnt import RNNTLoss, rnnt_loss

__all__ = ["RNNTLoss", "rnnt_loss"]
