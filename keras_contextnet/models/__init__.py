"""Encoder, predictor, joiner, and ContextNet, the model that puts them together."""

from keras_contextnet.models.contextnet import ContextNet
from keras_contextnet.models.encoder import ContextNetEncoder
from keras_contextnet.models.joiner import Joiner
from keras_contextnet.models.predictor import Predictor

__all__ = ["ContextNet", "ContextNetEncoder", "Joiner", "Predictor"]
