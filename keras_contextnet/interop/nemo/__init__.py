"""NVIDIA NeMo's ContextNet checkpoints."""

from keras_contextnet.interop.nemo.archive import NemoFileError
from keras_contextnet.interop.nemo.checkpoint import NemoCheckpoint

__all__ = ["NemoCheckpoint", "NemoFileError"]
