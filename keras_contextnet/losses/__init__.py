"""Losses for transducers and CTC, and alignments on the same lattice."""

from keras_contextnet.losses.alignment import joint_rnnt_alignment, rnnt_alignment
from keras_contextnet.losses.ctc import ctc_loss
from keras_contextnet.losses.ctc_keras_loss import CTCLoss
from keras_contextnet.losses.joint import joint_rnnt_loss
from keras_contextnet.losses.pruned import rnnt_loss_pruned
from keras_contextnet.losses.pruned_rnnt import PrunedRNNTLoss
from keras_contextnet.losses.pruning import prune, pruning_bounds
from keras_contextnet.losses.rnnt import RNNTLoss, rnnt_loss
from keras_contextnet.losses.simple import rnnt_loss_simple

__all__ = [
    "CTCLoss",
    "PrunedRNNTLoss",
    "RNNTLoss",
    "ctc_loss",
    "joint_rnnt_alignment",
    "joint_rnnt_loss",
    "prune",
    "pruning_bounds",
    "rnnt_alignment",
    "rnnt_loss",
    "rnnt_loss_pruned",
    "rnnt_loss_simple",
]
