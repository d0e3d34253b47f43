"""From a trained model to files that run without this package."""

from keras_contextnet.export.export import export_model
from keras_contextnet.export.litert import export_litert
from keras_contextnet.export.operators import litert_operators
from keras_contextnet.export.saved_model import export_saved_model
from keras_contextnet.export.verify import Agreement, ExportDifferenceError, verify_litert

__all__ = [
    "Agreement",
    "ExportDifferenceError",
    "export_litert",
    "export_model",
    "export_saved_model",
    "litert_operators",
    "verify_litert",
]
