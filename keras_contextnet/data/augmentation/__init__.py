"""Changes of waveforms that make a training set larger than it is.

An augmentation is anything that is called as `augmentation(waveform, sample_rate, generator)`: the
waveform `(samples,)` float32, its rate in Hz, and the `np.random.Generator` that every random
choice comes from. It returns a waveform, and leaves the one that it was given as it is.
"""

from keras_contextnet.data.augmentation.noise import AddNoise
from keras_contextnet.data.augmentation.random_gain import RandomGain
from keras_contextnet.data.augmentation.reverberation import Reverberate
from keras_contextnet.data.augmentation.speed import SpeedPerturbation

__all__ = ["AddNoise", "RandomGain", "Reverberate", "SpeedPerturbation"]
