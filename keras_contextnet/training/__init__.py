"""Training runs: `train`, and its parts for use with `fit` alone."""

from keras_contextnet.training.learning_curve import LearningCurve
from keras_contextnet.training.run import train

__all__ = ["LearningCurve", "train"]
