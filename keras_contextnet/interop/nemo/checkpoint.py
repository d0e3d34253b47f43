"""NVIDIA NeMo's ContextNet checkpoints as `ContextNet` models."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from keras_contextnet.interop.nemo.archive import CONFIG, WEIGHTS, NemoFileError, read_nemo
from keras_contextnet.interop.nemo.encoder import make_encoder
from keras_contextnet.interop.nemo.features import (
    check_frontend,
    has_legacy_features,
    make_augmenter,
    make_frontend,
)
from keras_contextnet.interop.nemo.settings import read_settings
from keras_contextnet.interop.nemo.tokenizer import make_tokenizer
from keras_contextnet.interop.nemo.transducer import (
    make_joiner,
    make_predictor,
    max_symbols_per_frame,
)
from keras_contextnet.interop.nemo.weights import assign_weights
from keras_contextnet.interop.torch_file import TorchFile, TorchFileError
from keras_contextnet.models.contextnet import ContextNet


class NemoCheckpoint:
    """A `.nemo` file of a ContextNet transducer, read without NeMo and without PyTorch.

    Nothing in the file is executed, and nothing is extracted to disk.

    Args:
        path: of the file.

    Attributes:
        nemo_version: str or None, the version of NeMo that wrote the file.
        legacy_features: bool, whether the model was trained with the features of NeMo until 2.4,
            as the version says. Published ContextNets were; a file without a version is taken for
            one of those.

    Raises:
        FileNotFoundError: if there is no file at `path`.
        NemoFileError: if it is not a `.nemo` file.

    Example:

    ```python
    from keras_contextnet.interop.nemo import NemoCheckpoint

    checkpoint = NemoCheckpoint("stt_en_contextnet_256.nemo")
    print(checkpoint.nemo_version, checkpoint.legacy_features)
    model = checkpoint.to_contextnet()
    ```

    Source: the format is that of NeMo 1.0 to 3.0, https://github.com/NVIDIA-NeMo/NeMo.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._files = read_nemo(path)
        try:
            self._settings = read_settings(self._files[CONFIG])
            self._weights = TorchFile(self._files[WEIGHTS])
        except (NemoFileError, TorchFileError) as error:
            raise self._named(error) from error
        version = self._settings.get("nemo_version")
        self.nemo_version = None if version is None else str(version)
        self.legacy_features = has_legacy_features(self._settings)

    def to_contextnet(
        self, legacy_features: bool | None = None, dtype: Any = None, **overrides: Any
    ) -> ContextNet:
        """Returns the model.

        Args:
            legacy_features: bool or None. Features of NeMo until 2.4 or from 2.5 on; None goes by
                `self.legacy_features`.
            dtype: Keras dtype policy of all parts.
            **overrides: arguments of `ContextNet` in place of the file's (`augmenter`, `l2`, ...).

        Raises:
            NemoFileError: for a model that is not a ContextNet transducer; the message names the
                setting that is not supported.
        """
        if legacy_features is None:
            legacy_features = self.legacy_features
        try:
            model = self._build(legacy_features, dtype, overrides)
            assign_weights(model, self._weights)
        except (NemoFileError, TorchFileError) as error:
            raise self._named(error) from error
        return model

    def _build(self, legacy_features: bool, dtype: Any, overrides: dict[str, Any]) -> ContextNet:
        settings = self._settings
        if settings.get("adapters"):
            raise settings.unsupported("adapters", settings.get("adapters"), "none")
        frontend = make_frontend(
            settings.section("preprocessor"), legacy_features, name="frontend", dtype=dtype
        )
        check_frontend(frontend, self._weights)
        predictor = make_predictor(settings.section("decoder"), name="predictor", dtype=dtype)
        tokenizer = make_tokenizer(settings, self._files)
        if tokenizer.vocabulary_size + 1 != predictor.vocabulary_size:
            raise NemoFileError(
                f"Expected a tokenizer of {predictor.vocabulary_size - 1} pieces, by the setting "
                f"decoder.vocab_size. Received: {tokenizer.vocabulary_size} pieces."
            )
        parts = {
            "frontend": frontend,
            "encoder": make_encoder(
                settings.section("encoder"), frontend.num_bands, name="encoder", dtype=dtype
            ),
            "predictor": predictor,
            "joiner": make_joiner(
                settings.section("joint"), predictor.vocabulary_size, name="joiner", dtype=dtype
            ),
            "tokenizer": tokenizer,
            "max_symbols_per_frame": max_symbols_per_frame(settings.section("decoding", False)),
        }
        if "spec_augment" in settings:
            parts["augmenter"] = make_augmenter(
                settings.section("spec_augment"), name="augmenter", dtype=dtype
            )
        name = _layer_name(self.path.stem)
        return ContextNet(**{**parts, "name": name, "dtype": dtype, **overrides})

    def _named(self, error: ValueError) -> NemoFileError:
        return NemoFileError(f"{self.path} cannot be converted. {error}")


def _layer_name(stem: str) -> str:
    """A file's name with what TensorFlow's scopes cannot have replaced."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem)
    return name if name[:1].isalnum() else f"contextnet{name}"
