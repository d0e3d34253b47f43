"""ContextNet speech recognition for Keras 3.

Names are imported when they are first used (SPEC 1, https://scientific-python.org/specs/spec-0001),
so that `keras_contextnet.litert` runs where neither Keras nor TensorFlow is installed.
`__init__.pyi` tells editors and type checkers what there is.
"""

from importlib import import_module as _import_module

from keras_contextnet.registration import register_once_keras_is_imported as _register

__version__ = "0.1.0"

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

_MODELS = ("CTCHead", "ContextNet", "ContextNetCTC", "ContextNetEncoder", "Joiner", "Predictor")


def __getattr__(name):
    if name in _MODELS:
        globals()[name] = value = getattr(_import_module(f"{__name__}.models"), name)
        return value
    if name in __all__:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})


_register()
