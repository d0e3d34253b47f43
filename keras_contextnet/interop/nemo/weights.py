"""Which tensor of a NeMo checkpoint is which weight of a `ContextNet`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_contextnet.interop.nemo.archive import NemoFileError
from keras_contextnet.interop.torch_file import TorchFile

if TYPE_CHECKING:
    from keras_contextnet.models import (
        ContextNet,
        ContextNetEncoder,
        Joiner,
        Predictor,
    )

_PARTS = ("encoder.", "decoder.", "joint.")
# A convolution, a pointwise convolution, batch norm, an activation and dropout.
_MODULES_PER_CONV = 5


class _Source(NamedTuple):
    """The tensors that a weight is made of, and how."""

    weight: Any
    names: tuple[str, ...]
    convert: Callable


def assign_weights(model: ContextNet, weights: TorchFile) -> None:
    """Gives a model the weights of a NeMo checkpoint.

    Args:
        model: `ContextNet` of the checkpoint's settings.
        weights: the checkpoint's tensors.

    Raises:
        NemoFileError: for a tensor that is missing, has another shape, is not finite, or belongs
            to encoder, decoder or joint and to no weight of the model.
    """
    sources = [
        *_encoder_sources(model.encoder),
        *_predictor_sources(model.predictor),
        *_joiner_sources(model.joiner, weights),
    ]
    _refuse_other_tensors({name for source in sources for name in source.names}, weights)
    for source in sources:
        source.weight.assign(_read_weight(source, weights))


def _encoder_sources(encoder: ContextNetEncoder) -> Iterator[_Source]:
    for index, block in enumerate(encoder.blocks):
        modules = f"encoder.encoder.{index}.mconv"
        for order, conv in enumerate(block.convs):
            module = _MODULES_PER_CONV * order
            name = f"{modules}.{module}.conv.weight"
            yield _Source(conv.depthwise_kernel, (name,), _depthwise)
            name = f"{modules}.{module + 1}.conv.weight"
            yield _Source(conv.pointwise_kernel, (name,), _pointwise)
            yield from _batch_norm_sources(conv.batch_norm, f"{modules}.{module + 2}")
        gate = f"{modules}.{module + 3}.fc"
        yield _Source(block.squeeze_excite.squeeze.kernel, (f"{gate}.0.weight",), np.transpose)
        yield _Source(block.squeeze_excite.excite.kernel, (f"{gate}.2.weight",), np.transpose)
        if block.projection is not None:
            residual = f"encoder.encoder.{index}.res.0"
            name = f"{residual}.0.conv.weight"
            yield _Source(block.projection.kernel, (name,), _pointwise)
            yield from _batch_norm_sources(block.projection.batch_norm, f"{residual}.1")


def _batch_norm_sources(batch_norm: Any, module: str) -> Iterator[_Source]:
    for weight, name in (
        (batch_norm.gamma, "weight"),
        (batch_norm.beta, "bias"),
        (batch_norm.moving_mean, "running_mean"),
        (batch_norm.moving_variance, "running_var"),
    ):
        yield _Source(weight, (f"{module}.{name}",), np.asarray)


def _predictor_sources(predictor: Predictor) -> Iterator[_Source]:
    name = "decoder.prediction.embed.weight"
    pieces = predictor.vocabulary_size - 1
    yield _Source(predictor.embedding.embeddings, (name,), partial(_with_zero_start, pieces))
    lstm = "decoder.prediction.dec_rnn.lstm"
    for index, layer in enumerate(predictor.lstms):
        # Both order the gates as input, forget, cell, output.
        yield _Source(layer.cell.kernel, (f"{lstm}.weight_ih_l{index}",), np.transpose)
        yield _Source(layer.cell.recurrent_kernel, (f"{lstm}.weight_hh_l{index}",), np.transpose)
        biases = (f"{lstm}.bias_ih_l{index}", f"{lstm}.bias_hh_l{index}")
        yield _Source(layer.cell.bias, biases, np.add)


def _joiner_sources(joiner: Joiner, weights: TorchFile) -> Iterator[_Source]:
    # Without dropout there is one module less before the last projection.
    output = "joint.joint_net.1" if "joint.joint_net.1.weight" in weights.shapes else None
    for layer, module in (
        (joiner.encoder_projection, "joint.enc"),
        (joiner.predictor_projection, "joint.pred"),
        (joiner.output_projection, output or "joint.joint_net.2"),
    ):
        yield _Source(layer.kernel, (f"{module}.weight",), np.transpose)
        yield _Source(layer.bias, (f"{module}.bias",), np.asarray)


def _depthwise(kernel: np.ndarray) -> np.ndarray:
    return kernel[:, 0].T  # (channels, 1, taps) to (taps, channels)


def _pointwise(kernel: np.ndarray) -> np.ndarray:
    return kernel[:, :, 0].T  # (out, in, 1) to (in, out)


def _with_zero_start(pieces: int, embeddings: np.ndarray) -> np.ndarray:
    """Gives the blank, the last, a row of zeros: NeMo starts every sequence with a zero vector.

    With `blank_as_pad: false` NeMo has no such row.
    """
    return np.concatenate([embeddings[:pieces], np.zeros((1, embeddings.shape[1]), "float32")])


def _read_weight(source: _Source, weights: TorchFile) -> np.ndarray:
    arrays = [_read(weights, name, math.prod(source.weight.shape)) for name in source.names]
    try:
        array = source.convert(*arrays)
    except (IndexError, ValueError):
        array = None
    if array is None or array.shape != tuple(source.weight.shape):
        raise NemoFileError(
            f"Expected the tensor {source.names[0]} to make a weight of shape "
            f"{tuple(source.weight.shape)}, by the settings. Received: shape {arrays[0].shape}."
        )
    return array


def _read(weights: TorchFile, name: str, max_size: int) -> np.ndarray:
    shape = weights.shapes.get(name)
    if shape is None:
        raise NemoFileError(f"Expected the tensor {name}. It is missing.")
    if math.prod(shape) > max_size:
        raise NemoFileError(
            f"Expected the tensor {name} to have at most {max_size} numbers, by the settings. "
            f"Received: shape {shape}."
        )
    array = weights.read(name)
    if not np.isfinite(array).all():
        raise NemoFileError(f"Expected the tensor {name} to be finite. It holds NaN or infinity.")
    return array


def _refuse_other_tensors(known: set[str], weights: TorchFile) -> None:
    others = [
        name
        for name in weights.shapes
        if name.startswith(_PARTS)
        and name not in known
        and not name.endswith(".num_batches_tracked")
    ]
    if others:
        raise NemoFileError(
            "Expected encoder, decoder and joint of a ContextNet alone. Received: also the tensors "
            f"{', '.join(others[:5])}{' and more' if len(others) > 5 else ''}."
        )
