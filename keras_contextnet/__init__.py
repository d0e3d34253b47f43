"""ContextNet speech recognition for Keras 3."""

from keras_contextnet import data, decoding, layers, losses, metrics, models, schedules, text
from keras_contextnet.models import ContextNet, ContextNetEncoder, Joiner, Predictor

__version__ = "0.1.0"

__all__ = [
    "ContextNet",
    "ContextNetEncoder",
    "Joiner",
    "Predictor",
    "__version__",
    "data",
    "decoding",
    "layers",
    "losses",
    "metrics",
    "models",
    "schedules",
    "text",
]
