"""Building blocks, each usable alone in any Keras model."""

from keras_contextnet.layers.context_block import ContextBlock
from keras_contextnet.layers.log_mel import LogMelSpectrogram
from keras_contextnet.layers.masked_batch_norm import MaskedBatchNormalization
from keras_contextnet.layers.pointwise_conv import PointwiseConvNorm
from keras_contextnet.layers.pointwise_product import set_product_dtype
from keras_contextnet.layers.separable_conv import SeparableConvBlock
from keras_contextnet.layers.spec_augment import SpecAugment
from keras_contextnet.layers.squeeze_excite import SqueezeExcite1D
from keras_contextnet.layers.swish import Swish
from keras_contextnet.layers.tempo_perturbation import TempoPerturbation
from keras_contextnet.layers.vocal_tract_perturbation import VocalTractPerturbation

__all__ = [
    "ContextBlock",
    "LogMelSpectrogram",
    "MaskedBatchNormalization",
    "PointwiseConvNorm",
    "SeparableConvBlock",
    "SpecAugment",
    "SqueezeExcite1D",
    "Swish",
    "TempoPerturbation",
    "VocalTractPerturbation",
    "set_product_dtype",
]
