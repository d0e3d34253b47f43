"""Transcription with an exported `.tflite` file, without Keras and TensorFlow."""

from keras_contextnet.litert.model_file import LiteRTFileError, read_metadata
from keras_contextnet.litert.transcriber import Transcriber
from keras_contextnet.litert.transcript import Token, Transcript, Word

__all__ = ["LiteRTFileError", "Token", "Transcriber", "Transcript", "Word", "read_metadata"]
