"""The best alignment of a target with the frames: when each label is emitted."""

from typing import Any

from keras import ops

from keras_contextnet.losses.arc_log_probs import arc_log_probs
from keras_contextnet.losses.arguments import check_shapes, check_values, resolve_blank
from keras_contextnet.losses.best_path import best_path
from keras_contextnet.losses.joint import joint_arc_log_probs
from keras_contextnet.losses.legal_labels import legal_labels


def rnnt_alignment(
    target: Any,
    output: Any,
    target_length: Any,
    output_length: Any,
    blank_id: int = 0,
) -> tuple[Any, Any]:
    """Forced alignment: the frame at which each label of the most probable path is emitted.

    Where `rnnt_loss` sums over all alignments of a target (Graves 2012, arXiv 1211.3711,
    section 2.4), this takes the single most probable one, by the Viterbi algorithm on the same
    lattice. Times in seconds are these frames times the hop of the model's output.

    Neither the values of `output` past an utterance's lengths nor those of `target` past its
    length matter, not even NaN. The result carries no gradient.

    Args:
        target: Integer tensor (batch, U), the labels without blanks.
        output: Float tensor (batch, T, U + 1, vocabulary), logits: entry (t, u) scores what comes
            at frame t once u labels have been emitted.
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        blank_id: Integer, the vocabulary index of the blank. Negative ones count from the end, so
            -1 is the last.

    Returns:
        Two tensors. The frames, int32 (batch, U), from 0 up and never falling along a row; -1
        past `target_length`, and in all of a row without any possible alignment. And the path's
        log-probability, (batch,), float64 for float64 logits and float32 for all others; minus
        infinity where no path is possible. Of equally probable paths it is the one that emits
        each label earliest.

    Raises:
        ValueError: On the same arguments as `rnnt_loss`. Where values are not known, inside
            a compiled graph, such an utterance has -1 for all frames and NaN for its
            log-probability, as has one with NaN in a logit that an alignment may use.

    Example:

    ```python
    import numpy as np
    from keras_contextnet.losses import rnnt_alignment

    logits = np.zeros((1, 4, 3, 5), "float32")
    logits[0, 1, 0, 3] = logits[0, 2, 1, 1] = 5.0
    frames, score = rnnt_alignment(
        target=np.array([[3, 1]]),
        output=logits,
        target_length=np.array([2]),
        output_length=np.array([4]),
        blank_id=4,
    )
    assert np.array_equal(frames, [[1, 2]])
    ```
    """
    output = ops.stop_gradient(ops.convert_to_tensor(output))
    target = ops.cast(target, "int32")
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    check_shapes(target, output, target_length, output_length)
    _, frames, _, vocabulary = ops.shape(output)
    blank_id = resolve_blank(blank_id, vocabulary)
    check_values(target, target_length, output_length, output.shape[1], vocabulary, blank_id)

    label, legal = legal_labels(target, target_length, output_length, frames, vocabulary, blank_id)
    blank_log_prob, label_log_prob = arc_log_probs(output, label[:, None], blank_id)
    frame, score = best_path(blank_log_prob, label_log_prob, output_length, target_length)
    return ops.where(legal[:, None], frame, -1), ops.where(legal, score, float("nan"))


def joint_rnnt_alignment(
    encoder_output: Any,
    predictor_output: Any,
    joiner: Any,
    target: Any,
    target_length: Any,
    output_length: Any,
    blank_id: int = 0,
) -> tuple[Any, Any]:
    """`rnnt_alignment` of a joint network's outputs, which are never in memory as a whole.

    Args:
        encoder_output: Float tensor (batch, T, channels).
        predictor_output: Float tensor (batch, U + 1, units of the predictor).
        joiner: The joint network, as of `joint_rnnt_loss`.
        target: Integer tensor (batch, U), the labels without blanks.
        target_length: Integer tensor (batch,), labels of each utterance, 0 to U.
        output_length: Integer tensor (batch,), frames of each utterance, 0 to T.
        blank_id: Integer, the vocabulary index of the blank; -1 is the last.

    Returns:
        Frames (batch, U) and log-probabilities (batch,), as `rnnt_alignment` returns them.

    Raises:
        ValueError: As `joint_rnnt_loss` does.

    Example:

    ```python
    import numpy as np
    import keras_contextnet as kc

    frames, score = kc.losses.joint_rnnt_alignment(
        encoder_output=np.zeros((2, 50, 320), "float32"),
        predictor_output=np.zeros((2, 8, 640), "float32"),
        joiner=kc.Joiner(vocabulary_size=28, units=64),
        target=np.ones((2, 7), "int32"),
        target_length=np.array([7, 5]),
        output_length=np.array([50, 40]),
    )
    ```
    """
    target_length = ops.cast(target_length, "int32")
    output_length = ops.cast(output_length, "int32")
    blank_log_prob, label_log_prob, legal = joint_arc_log_probs(
        encoder_output, predictor_output, joiner, target, target_length, output_length, blank_id
    )
    frame, score = best_path(blank_log_prob, label_log_prob, output_length, target_length)
    return ops.where(legal[:, None], frame, -1), ops.where(legal, score, float("nan"))
