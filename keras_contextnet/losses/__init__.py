"""Losses for transducers."""

from keras_contextnet.losses.joint import joint_rnnt_loss
from keras_contextnet.losses.rnnt import RNNTLoss, rnnt_loss

__all__ = ["RNNTLoss", "joint_rnnt_loss", "rnnt_loss"]
