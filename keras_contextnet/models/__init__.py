"""Encoder, predictor, joiner and CTC head, and ContextNet and ContextNetCTC, made of them."""

from keras_contextnet.models.contextnet import ContextNet
from keras_contextnet.models.contextnet_ctc import ContextNetCTC
from keras_contextnet.models.ctc_head import CTCHead
from keras_contextnet.models.encoder import ContextNetEncoder
from keras_contextnet.models.joiner import Joiner
from keras_contextnet.models.predictor import Predictor
from keras_contextnet.models.predictor_language_model import PredictorLanguageModel
from keras_contextnet.models.simple_joiner import SimpleJoiner

__all__ = [
    "CTCHead",
    "ContextNet",
    "ContextNetCTC",
    "ContextNetEncoder",
    "Joiner",
    "Predictor",
    "PredictorLanguageModel",
    "SimpleJoiner",
]
