"""Export to a TensorFlow SavedModel."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_contextnet.atomic_write import new_folder
from keras_contextnet.export.signatures import make_signatures, make_transcribe_signature

if TYPE_CHECKING:
    from keras_contextnet.models.speech_model import SpeechModel


def export_saved_model(model: SpeechModel, folder: str | os.PathLike[str]) -> None:
    """Writes a SavedModel that turns waveforms into token ids.

    Its signature `transcribe`, which is `serving_default` too, takes `audio`, float32
    (batch, samples) in [-1, 1], and `audio_length`, int32 (batch,) in samples, of any batch and any
    number of samples. It gives `tokens`, int32 (batch, N), -1 where a row has ended, and
    `token_length`, int32 (batch,): the ids that the model itself gives.

    The folder is written beside its place and moved there when it is whole; a SavedModel that was
    there before is replaced.

    Args:
        model: `ContextNet`, or `ContextNetCTC`, which has the signature `transcribe` alone.
        folder: where to; one that holds anything but a SavedModel is left alone.

    Raises:
        RuntimeError: under another Keras backend than TensorFlow.
        FileExistsError: where `folder` exists and is not a SavedModel.

    Example:

    ```python
    import tempfile

    import numpy as np
    import tensorflow as tf

    import keras_contextnet as kc
    from keras_contextnet.export import export_saved_model

    model = kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=[{"filters": 16, "num_convs": 1, "strides": 2}]),
        predictor=kc.Predictor(vocabulary_size=28, embedding_size=16, units=16),
        joiner=kc.Joiner(vocabulary_size=28, units=16),
    )
    with tempfile.TemporaryDirectory() as folder:
        export_saved_model(model, f"{folder}/asr")
        loaded = tf.saved_model.load(f"{folder}/asr")
        transcribe = loaded.signatures["transcribe"]
        audio = np.zeros((1, 16000), "float32")
        outputs = transcribe(audio=tf.constant(audio), audio_length=tf.constant([16000]))
        print(sorted(outputs))  # ['token_length', 'tokens']
    ```
    """
    require_tensorflow()
    folder = Path(folder)
    _refuse_other_files(folder)
    make = make_signatures if hasattr(model, "joiner") else make_transcribe_signature
    save_signatures(model, make(model), folder)


def save_signatures(model: SpeechModel, signatures: dict[str, Any], folder: Path) -> None:
    """Writes a SavedModel of `tf.function`s that use the model's weights, the first the default."""
    import tensorflow as tf

    # Only weights are saved with the functions: Keras objects would drag along their traces, and
    # what training alone uses has no place in an export.
    used = {
        variable.ref()
        for function in signatures.values()
        for variable in function.get_concrete_function().variables
    }
    module = tf.Module()
    weights = [variable.value for variable in model.variables]
    module.weights = [weight for weight in weights if weight.ref() in used]
    module.functions = signatures
    with new_folder(folder) as new, _quiet_tensorflow():
        tf.saved_model.save(
            module,
            str(new),
            signatures={**signatures, "serving_default": next(iter(signatures.values()))},
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )


def require_tensorflow() -> None:
    """Raises a `RuntimeError` unless Keras runs on TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f'Expected the Keras backend "tensorflow", which exports. Received: {backend!r}. Save '
            "the model with `save_to_preset`, and export it from a process with "
            "KERAS_BACKEND=tensorflow: `from_preset` loads the same weights there."
        )


def _refuse_other_files(folder: Path) -> None:
    if not folder.exists() or (folder / "saved_model.pb").is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise FileExistsError(
            f"Expected `folder` to be new, empty or a SavedModel. Received: {folder}, which holds "
            "something else. Choose another folder."
        )


@contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Holds back the log line that tells the temporary folder's name."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
