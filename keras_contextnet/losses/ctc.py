"""The CTC loss: minus the log-probability of all alignments of a target with its frames.

An alignment gives each frame the blank or a label; repeats are collapsed and blanks dropped to read
it. Its states are, for every u from 0 to U, "blank after u labels" and "label u": two rows of U + 1
columns, of which the label of column 0 does not exist. From one frame to the next

    blank u -> blank u, label u + 1
    label u -> label u, blank u, and label u + 1 where that is another label

(Graves et al. 2006, section 4.1, with the two kinds of states side by side, not interleaved).
"""

from typing import Any

import keras
from keras import ops

from keras_contextnet.backend import custom_gradient, log_sum_exp, traced
from keras_contextnet.layers.masking import mask_from_length
from keras_contextnet.losses.arguments import check_frames, check_values, resolve_blank
from keras_contextnet.losses.axes import check_axes, check_float
from keras_contextnet.losses.lattice import IMPOSSIBLE, IMPOSSIBLE_COST, sum_of_diagonals
from keras_contextnet.losses.legal_labels import legal_labels


def ctc_loss(
    target: Any, output: Any, target_length: Any, output_length: Any, blank_id: int = 0
) -> Any:
    """CTC loss: the negative log-likelihood of each target.

    As `keras.ops.ctc_loss`, which on TensorFlow takes 20 times as long and on every backend gives
    a target that cannot fit its frames a large cost with a gradient. All arithmetic is done in
    float32, or in float64 for float64 logits; the gradient has the dtype of `output`. Neither the
    values of `output` past an utterance's length nor those of `target` matter, not even NaN.

    Args:
        target: Integer tensor (batch, U), the labels without blanks.
        output: Float tensor (batch, T, vocabulary), logits.
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        blank_id: Integer, the vocabulary index of the blank. Negative ones count from the end, so
            -1 is the last.

    Returns:
        Float tensor (batch,), float64 for float64 logits and float32 for all others. A target that
        cannot fit its frames, one for every label and one between two that are alike, costs
        infinity, with a gradient of zero.

    Raises:
        ValueError: On a wrong rank, a `blank_id` outside the vocabulary, and, in eager execution,
            on lengths outside the tensors or labels that are outside the vocabulary or equal the
            blank. Inside a compiled graph such an utterance costs NaN.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import ctc_loss

    loss = ctc_loss(
        target=np.array([[3, 1], [2, 0]]),
        output=np.zeros((2, 4, 5), "float32"),
        target_length=np.array([2, 1]),
        output_length=np.array([4, 3]),
        blank_id=4,
    )
    ```

    Source: Graves et al. 2006, "Connectionist Temporal Classification", equations 5 to 16.
    """
    output = ops.convert_to_tensor(output)
    target = ops.cast(target, "int32")
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    check_axes(
        target=(target, ("batch", "U")),
        output=(output, ("batch", "T", "vocabulary")),
        target_length=(target_length, ("batch",)),
        output_length=(output_length, ("batch",)),
    )
    check_float(output=output)
    check_frames(output=output)
    frames, vocabulary = ops.shape(output)[1], ops.shape(output)[2]
    blank_id = resolve_blank(blank_id, vocabulary)
    check_values(target, target_length, output_length, output.shape[1], vocabulary, blank_id)
    label, legal = legal_labels(target, target_length, output_length, frames, vocabulary, blank_id)
    # From label u + 1 in column u to label u: column 0 holds the blank.
    label = ops.concatenate([label[:, -1:], label[:, :-1]], axis=1)
    cost = _cost(output, label, target_length, output_length, blank_id)
    return ops.where(legal, cost, float("nan"))


@traced
def _cost(output: Any, label: Any, target_length: Any, output_length: Any, blank_id: int) -> Any:
    """Costs (batch,); `label` (batch, U + 1) holds the blank wherever there is no label."""
    dtype = "float64" if keras.backend.standardize_dtype(output.dtype) == "float64" else "float32"
    real = mask_from_length(output_length, ops.shape(output)[1])  # (batch, T)
    skip = _cost_of_skipping_blanks(label, blank_id, dtype)  # (batch, U + 1)
    at_end = ops.equal(ops.arange(ops.shape(label)[1], dtype="int32"), target_length[:, None])

    @custom_gradient
    def cost_with_gradient(output: Any) -> Any:
        logits = ops.cast(output, dtype)
        frames = _log_probs_of_states(logits, label, real, blank_id)
        forward, largest = _scan_forward(frames, skip)
        at_last = ops.where(at_end[:, None], forward[-1], IMPOSSIBLE)  # (batch, 2, U + 1)
        cost = -(ops.logsumexp(at_last, axis=(1, 2)) + sum_of_diagonals(largest))
        impossible = cost >= IMPOSSIBLE_COST

        def gradient(upstream: Any) -> Any:
            backward = _scan_backward(frames, skip, at_end)
            occupancy = _occupancy(forward + backward)  # (batch, T, U + 1)
            one_hot = ops.one_hot(label, ops.shape(output)[2], dtype=dtype)
            grad = ops.softmax(ops.cast(output, dtype)) - ops.matmul(occupancy, one_hot)
            # `impossible` is never negated: TensorFlow turns "not >=" into "<", wrong for NaN.
            zero = ops.zeros((), dtype)
            scale = ops.where(impossible, zero, ops.cast(upstream, dtype))[:, None, None]
            grad = ops.where(impossible[:, None, None], zero, scale * grad)
            return ops.cast(ops.where(real[..., None], grad, zero), output.dtype)

        return ops.where(impossible, float("inf"), cost), gradient

    return cost_with_gradient(output)


def _cost_of_skipping_blanks(label: Any, blank_id: int, dtype: str) -> Any:
    """0 where label u may follow label u - 1 at once, else a log-probability of none."""
    before = ops.concatenate([label[:, :1], label[:, :-1]], axis=1)
    alike = ops.logical_or(ops.equal(label, before), ops.equal(before, blank_id))
    return ops.cast(ops.where(alike, IMPOSSIBLE, 0.0), dtype)


def _log_probs_of_states(logits: Any, label: Any, real: Any, blank_id: int) -> Any:
    """Log-probability of each frame in each state, and 1 or 0 for a frame or padding.

    One tensor (T, batch, 3, U + 1): with several, Keras's scan on TensorFlow needs a static length.
    """
    normaliser = log_sum_exp(logits)[..., None]  # (batch, T, 1)
    by_label = ops.take_along_axis(logits, label[:, None], axis=-1) - normaliser
    by_label = ops.where(ops.equal(label, blank_id)[:, None], IMPOSSIBLE, by_label)
    by_blank = logits[..., blank_id, None] - normaliser
    by_blank = ops.broadcast_to(by_blank, ops.shape(by_label))
    by_state = ops.stack([by_blank, by_label], axis=2)  # (batch, T, 2, U + 1)
    by_state = ops.where(by_state < IMPOSSIBLE, IMPOSSIBLE, by_state)
    flag = ops.broadcast_to(real[:, :, None], ops.shape(by_label))
    flag = ops.cast(flag, by_state.dtype)[:, :, None]
    return ops.transpose(ops.concatenate([by_state, flag], axis=2), (1, 0, 2, 3))


def _scan_forward(frames: Any, skip: Any) -> tuple[Any, Any]:
    """Log-probability of each state after each frame, (T, batch, 2, U + 1).

    Each frame's largest is made 0, so that long utterances lose no precision; what was taken away
    is returned too, (T, batch, 1).
    """
    wall = ops.full_like(skip[:, :1], IMPOSSIBLE)  # (batch, 1)
    nowhere = ops.full_like(skip, IMPOSSIBLE)
    origin = ops.concatenate([ops.zeros_like(wall), nowhere[:, 1:]], axis=1)
    start = ops.stack([origin, nowhere], axis=1)  # (batch, 2, U + 1)

    def step(carry: Any, frame: Any) -> Any:
        states, _ = carry
        blank, label = states[:, 0], states[:, 1]  # (batch, U + 1)
        from_blank = ops.concatenate([wall, blank[:, :-1]], axis=1)
        from_label = ops.concatenate([wall, label[:, :-1]], axis=1) + skip
        stays = _log_add(blank, label)
        comes = _log_add(label, _log_add(from_blank, from_label))
        reached = ops.stack([stays, comes], axis=1) + frame[:, :2]
        largest = ops.max(reached, axis=(1, 2), keepdims=True)  # (batch, 1, 1)
        real = frame[:, 2:] > 0  # (batch, 1, U + 1)
        states = ops.where(real, reached - largest, states)
        largest = ops.where(real[:, 0, :1], largest[:, 0], ops.zeros_like(wall))
        # Keras's scan on TensorFlow needs a carry of as many tensors as are stacked.
        return (states, largest), (states, largest)

    _, stacked = ops.scan(step, (start, ops.zeros_like(wall)), frames)
    return stacked


def _scan_backward(frames: Any, skip: Any, at_end: Any) -> Any:
    """Log-probability of what comes after each frame, from each state, (T, batch, 2, U + 1).

    Up to a constant of each frame.
    """
    wall = ops.full_like(skip[:, :1], IMPOSSIBLE)  # (batch, 1)
    skip = ops.concatenate([skip[:, 1:], wall], axis=1)
    end = ops.where(at_end, ops.zeros_like(skip), IMPOSSIBLE)

    def step(after: Any, frame: Any) -> Any:
        blank, label = (after + frame[:, :2])[:, 0], (after + frame[:, :2])[:, 1]
        next_label = ops.concatenate([label[:, 1:], wall], axis=1)
        from_blank = _log_add(blank, next_label)
        from_label = _log_add(_log_add(blank, label), next_label + skip)
        before = ops.stack([from_blank, from_label], axis=1)
        before = before - ops.max(before, axis=(1, 2), keepdims=True)
        return ops.where(frame[:, 2:] > 0, before, after), after

    _, stacked = ops.scan(step, ops.stack([end, end], axis=1), frames, reverse=True)
    return stacked


def _occupancy(log_posterior: Any) -> Any:
    """Probability that an alignment passes each frame in label u, or in column 0 in any blank.

    Args:
        log_posterior: Float tensor (T, batch, 2, U + 1), up to a constant of each frame.

    Returns:
        Float tensor (batch, T, U + 1).
    """
    frames, batch, kinds, columns = ops.shape(log_posterior)
    flat = ops.reshape(log_posterior, (frames, batch, kinds * columns))
    posterior = ops.reshape(ops.softmax(flat), (frames, batch, kinds, columns))
    posterior = ops.transpose(posterior, (2, 1, 0, 3))  # (2, batch, T, U + 1)
    blank = ops.sum(posterior[0], axis=-1, keepdims=True)
    return ops.concatenate([blank, posterior[1][..., 1:]], axis=-1)


def _log_add(a: Any, b: Any) -> Any:
    return ops.maximum(a, b) + ops.softplus(-ops.absolute(a - b))
