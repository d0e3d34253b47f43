"""Other packages' transducer losses, as `rnnt_loss_measure.py` runs them.

See `rnnt_loss_ours.py` for what an adapter is. Each is called as its documentation says; the joint
network is the same three dense layers as ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Adapter = tuple[Callable[[], Any], Callable[[Any], tuple[Any, list[Any]]]]


def logits_tensorflowasr(inputs: dict[str, Any], xla: bool = False) -> Adapter:
    import tensorflow as tf
    from tensorflow_asr.losses.impl.rnnt import rnnt_loss

    logits, labels = tf.constant(inputs["logits"]), tf.constant(inputs["labels"])
    label_length = tf.constant(inputs["label_length"])
    frame_length = tf.constant(inputs["frame_length"])

    @tf.function(jit_compile=xla)
    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            costs = rnnt_loss(logits, frame_length, labels, label_length, use_cpu=True)
            total = tf.reduce_sum(costs)
        return costs, [tape.gradient(total, logits)]

    return lambda: logits, step


def joint_tensorflowasr(inputs: dict[str, Any]) -> Adapter:
    import tensorflow as tf
    from tensorflow_asr.losses.impl.rnnt import rnnt_loss

    labels = tf.constant(inputs["labels"])
    label_length = tf.constant(inputs["label_length"])
    frame_length = tf.constant(inputs["frame_length"])
    arrays = [inputs["encoder_output"], inputs["predictor_output"], *inputs["weights"]]
    arguments = [tf.constant(array) for array in arrays]

    @tf.function
    def step(arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            encoder_output, predictor_output, *weights = arguments
            kernel_e, bias_e, kernel_p, bias_p, kernel, bias = weights
            frames = tf.tensordot(encoder_output, kernel_e, 1) + bias_e
            prefixes = tf.tensordot(predictor_output, kernel_p, 1) + bias_p
            joint = tf.tanh(frames[:, :, None] + prefixes[:, None])
            logits = tf.tensordot(joint, kernel, 1) + bias
            costs = rnnt_loss(logits, frame_length, labels, label_length, use_cpu=True)
            total = tf.reduce_sum(costs)
        return costs, tape.gradient(total, arguments)

    return lambda: arguments, step


def logits_torch(inputs: dict[str, Any], loss: str) -> Adapter:
    """`loss` names a function of this module, of (logits, labels and lengths)."""
    import torch

    torch.set_flush_denormal(True)
    compute_costs, labels = _TORCH_LOSSES[loss], _torch_labels(inputs)
    logits = torch.from_numpy(inputs["logits"])
    if compute_costs is _optimized_transducer:
        # It takes packed logits and leaves their gradient in their place: each call has its own.
        packed = [
            row[:frames, : columns + 1].reshape(-1, row.shape[-1])
            for row, frames, columns in zip(logits, *labels[1:], strict=True)
        ]
        logits = torch.cat(packed)
        del packed

        def fresh():
            return logits.clone().requires_grad_()
    else:

        def fresh():
            return logits.detach().requires_grad_()

    def step(logits):
        costs = compute_costs(logits, *labels)
        costs.sum().backward()
        return costs.detach(), [logits.grad]

    return fresh, step


def joint_torch(inputs: dict[str, Any], loss: str) -> Adapter:
    """`loss` as for `logits_torch`."""
    import torch

    compute_costs, labels = _TORCH_LOSSES[loss], _torch_labels(inputs)
    arguments = _torch_leaves(inputs)

    def step(arguments):
        frames, prefixes = _torch_projections(arguments)
        if compute_costs is _optimized_transducer:
            # It takes the cells of all lattices in one row, so that padding is never computed.
            packed = [
                (row[:length, None] + prefix[None, : count + 1]).reshape(-1, row.shape[-1])
                for row, prefix, length, count in zip(frames, prefixes, *labels[1:], strict=True)
            ]
            joint = torch.cat(packed)  # (cells, units)
        else:
            joint = frames[:, :, None] + prefixes[:, None]  # (batch, T, U + 1, units)
        logits = torch.nn.functional.linear(torch.tanh(joint), arguments[-2].T, arguments[-1])
        del joint
        costs = compute_costs(logits, *labels)
        costs.sum().backward()
        return costs.detach(), [argument.grad for argument in arguments]

    return lambda: _without_gradients(arguments), step


def joint_fast_rnnt_pruned(inputs: dict[str, Any], columns: int = 5) -> Adapter:
    """The simple loss finds the columns of each frame, and the joint is made for those only."""
    import fast_rnnt
    import torch

    label, frame_length, label_length = _torch_labels(inputs)
    symbols, boundary = _fast_rnnt_labels(label, frame_length, label_length)
    arguments = _torch_leaves(inputs)
    arguments += [torch.from_numpy(array).requires_grad_() for array in inputs["simple_weights"]]
    settings = {"termination_symbol": 0, "boundary": boundary, "reduction": "none"}

    def step(arguments):
        *joint, simple_e, simple_p = arguments
        simple, (label_gradient, blank_gradient) = fast_rnnt.rnnt_loss_simple(
            lm=joint[1] @ simple_p, am=joint[0] @ simple_e, symbols=symbols, return_grad=True,
            **settings,
        )  # fmt: skip
        ranges = fast_rnnt.get_rnnt_prune_ranges(label_gradient, blank_gradient, boundary, columns)
        frames, prefixes = _torch_projections(joint)
        frames, prefixes = fast_rnnt.do_rnnt_pruning(am=frames, lm=prefixes, ranges=ranges)
        hidden = torch.tanh(frames + prefixes)  # (batch, T, columns, units)
        logits = torch.nn.functional.linear(hidden, joint[-2].T, joint[-1])
        costs = fast_rnnt.rnnt_loss_pruned(logits, symbols, ranges, **settings)
        (costs.sum() + simple.sum()).backward()
        return costs.detach(), [argument.grad for argument in arguments]

    return lambda: _without_gradients(arguments), step


def _torch_leaves(inputs: dict[str, Any]) -> list[Any]:
    """Encoder and predictor outputs and the joint network's weights, all with gradients."""
    import torch

    torch.set_flush_denormal(True)
    arrays = [inputs["encoder_output"], inputs["predictor_output"], *inputs["weights"]]
    return [torch.from_numpy(array).requires_grad_() for array in arrays]


def _without_gradients(arguments: list[Any]) -> list[Any]:
    for argument in arguments:
        argument.grad = None
    return arguments


def _torch_projections(arguments: list[Any]) -> tuple[Any, Any]:
    """Frames (batch, T, units) and prefixes (batch, U + 1, units) in the joint space."""
    encoder_output, predictor_output, kernel_e, bias_e, kernel_p, bias_p, *_ = arguments
    return encoder_output @ kernel_e + bias_e, predictor_output @ kernel_p + bias_p


def _torch_labels(inputs: dict[str, Any]) -> list[Any]:
    import torch

    return [torch.from_numpy(inputs[k]) for k in ("labels", "frame_length", "label_length")]


def _torchaudio(logits, labels, frame_length, label_length):
    import torchaudio

    return torchaudio.functional.rnnt_loss(
        logits, labels, frame_length, label_length, blank=0, reduction="none"
    )


def _fast_rnnt(logits, labels, frame_length, label_length):
    import fast_rnnt

    symbols, boundary = _fast_rnnt_labels(labels, frame_length, label_length)
    return fast_rnnt.rnnt_loss(
        logits, symbols, termination_symbol=0, boundary=boundary, reduction="none"
    )


def _fast_rnnt_labels(labels, frame_length, label_length):
    import torch

    zero = torch.zeros_like(frame_length)
    return labels.long(), torch.stack([zero, zero, label_length, frame_length], 1).long()


def _optimized_transducer(logits, labels, frame_length, label_length):
    import optimized_transducer

    return optimized_transducer.transducer_loss(
        logits, labels, frame_length, label_length, 0, from_log_softmax=False, reduction="sum"
    )


def _warprnnt_numba(logits, labels, frame_length, label_length):
    from warprnnt_numba import RNNTLossNumba

    return RNNTLossNumba(blank=0, reduction="none")(logits, labels, frame_length, label_length)


_TORCH_LOSSES = {
    "torchaudio": _torchaudio,
    "fast_rnnt": _fast_rnnt,
    "optimized_transducer": _optimized_transducer,
    "warprnnt_numba": _warprnnt_numba,
}
