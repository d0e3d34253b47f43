from keras_contextnet import data as data
from keras_contextnet import decoding as decoding
from keras_contextnet import export as export
from keras_contextnet import layers as layers
from keras_contextnet import litert as litert
from keras_contextnet import losses as losses
from keras_contextnet import metrics as metrics
from keras_contextnet import models as models
from keras_contextnet import optimizers as optimizers
from keras_contextnet import schedules as schedules
from keras_contextnet import text as text
from keras_contextnet.models import ContextNet as ContextNet
from keras_contextnet.models import ContextNetCTC as ContextNetCTC
from keras_contextnet.models import ContextNetEncoder as ContextNetEncoder
from keras_contextnet.models import CTCHead as CTCHead
from keras_contextnet.models import Joiner as Joiner
from keras_contextnet.models import Predictor as Predictor

__version__: str

__all__ = [
    "CTCHead",
    "ContextNet",
    "ContextNetCTC",
    "ContextNetEncoder",
    "Joiner",
    "Predictor",
    "__version__",
    "data",
    "decoding",
    "export",
    "layers",
    "litert",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "schedules",
    "text",
]
