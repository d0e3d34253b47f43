"""Keras finds this package's classes in saved models, in whatever order the two are imported.

Keras looks a class up by the name that it was registered under, which happens where the class is
defined. This package imports its parts when they are asked for, so stand-ins are registered for the
classes that are not imported yet: when Keras uses one, it imports the class.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# module -> the classes in it that are registered as "keras_contextnet>" + their name
REGISTERED = {
    "layers": (
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
    ),
    "losses": ("CTCLoss", "PrunedRNNTLoss", "RNNTLoss"),
    "metrics": ("CharacterErrorRate", "WordErrorRate"),
    "models": (
        "CTCHead",
        "ContextNet",
        "ContextNetCTC",
        "ContextNetEncoder",
        "Joiner",
        "Predictor",
        "PredictorLanguageModel",
        "SimpleJoiner",
    ),
    "optimizers": ("FusedAdam",),
    "schedules": ("TransformerSchedule", "WarmupCosineSchedule"),
    "text": ("AggregateTokenizer", "CharacterTokenizer", "SentencePieceTokenizer"),
    "training": ("FiniteSteps",),
}


class StandIn:
    """Does what a class does, `from_config` above all, and imports it to do so."""

    def __init__(self, module: str, name: str) -> None:
        self._place = (f"keras_contextnet.{module}", name)
        self.__name__ = name

    def _import(self) -> type:
        module, name = self._place
        return getattr(import_module(module), name)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # `copy` asks for such names before there is a place
            raise AttributeError(attribute)
        return getattr(self._import(), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._import()(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<stand-in for {'.'.join(self._place)}>"


def register_stand_ins(keras: ModuleType) -> None:
    """Registers a stand-in for every class that is not registered yet."""
    if not hasattr(keras, "saving"):
        return  # a folder of this name, or Keras 1
    registry = keras.saving.get_custom_objects()
    for module, names in REGISTERED.items():
        for name in names:
            registry.setdefault(f"keras_contextnet>{name}", StandIn(module, name))


def register_once_keras_is_imported() -> None:
    """Registers now if Keras is imported, else as the last step of its import."""
    if not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())
    if sys.modules.get("keras") is not None:
        register_stand_ins(import_module("keras"))  # waits for a thread that is importing it


class _KerasFinder:
    """Finds `keras` as the other finders do, and nothing else."""

    def __init__(self) -> None:
        self._asking = threading.local()  # other packages' finders may ask all finders as well

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "keras" or getattr(self._asking, "others", False):
            return None
        self._asking.others = True
        try:
            others = [finder for finder in sys.meta_path if finder is not self]
            specs = (finder.find_spec(name, path, target) for finder in others)
            spec = next((spec for spec in specs if spec is not None), None)
        finally:
            self._asking.others = False
        if spec is not None and spec.loader is not None:
            spec.loader = _KerasLoader(spec.loader)
        return spec


class _KerasLoader:
    """Keras's own loader, after whose work the stand-ins are registered."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "_loader":
            raise AttributeError(attribute)
        return getattr(self._loader, attribute)

    def exec_module(self, module: ModuleType) -> None:
        # Nothing of this class stays behind, as with importlib.util.LazyLoader.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        register_stand_ins(module)
