"""Training runs: `train`, and its parts for use with `fit` alone."""

from keras_contextnet.training.averaged_weights import AveragedWeights
from keras_contextnet.training.distribute import Distribution, distribute
from keras_contextnet.training.finite_steps import FiniteSteps
from keras_contextnet.training.learning_curve import LearningCurve
from keras_contextnet.training.run import train

__all__ = [
    "AveragedWeights",
    "Distribution",
    "FiniteSteps",
    "LearningCurve",
    "distribute",
    "train",
]
