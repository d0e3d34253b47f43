"""Encoder, predictor, joiner, and ContextNet, the model that puts them together."""

from keras_contextnet.models.contextnet import ContextNet
from keras_contextnet.models.encoder import ContextNetEncoder
from keras_contextnet.models.joiner import Joiner
from keras_contextnet.models.predictor import Predictor
from keras_contextnet.models.simple_joiner import SimpleJoiner

__all__ = ["ContextNet", "ContextNetEncoder", "Joiner", "Predictor", "SimpleJoiner"]
