"""Audio files, manifests and tf.data pipelines."""

from keras_contextnet.data import augmentation
from keras_contextnet.data.audio import AudioError, audio_duration, check_waveform, load_audio
from keras_contextnet.data.epoch_plan import EpochPlan
from keras_contextnet.data.examples import example_utterances
from keras_contextnet.data.graph_audio import load_audio_tensor
from keras_contextnet.data.librispeech import read_librispeech
from keras_contextnet.data.manifest import ManifestError, Utterance, read_manifest, write_manifest
from keras_contextnet.data.pipeline import dataset_from_plan, make_dataset
from keras_contextnet.data.skipped import SkippedUtterances

__all__ = [
    "AudioError",
    "EpochPlan",
    "ManifestError",
    "SkippedUtterances",
    "Utterance",
    "audio_duration",
    "augmentation",
    "check_waveform",
    "dataset_from_plan",
    "example_utterances",
    "load_audio",
    "load_audio_tensor",
    "make_dataset",
    "read_librispeech",
    "read_manifest",
    "write_manifest",
]
