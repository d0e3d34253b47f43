"""PrunedRNNTLoss: its parts put together, and a model that trains with it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_contextnet as kc
from keras_contextnet.losses import PrunedRNNTLoss, rnnt_loss, rnnt_loss_simple

FRAMES, LABELS, VOCABULARY = 8, 4, 7


@pytest.fixture
def y_true():
    rng = np.random.default_rng(0)
    return {
        "tokens": rng.integers(0, VOCABULARY - 1, (2, LABELS)),
        "token_length": np.array([4, 2]),
    }


@pytest.fixture
def y_pred():
    rng = np.random.default_rng(1)
    return {
        "encoder_output": rng.normal(size=(2, FRAMES, 6)).astype("float32"),
        "predictor_output": rng.normal(size=(2, LABELS + 1, 5)).astype("float32"),
        "frame_length": np.array([8, 5]),
        "joiner": kc.Joiner(VOCABULARY, units=6),
        "simple_joiner": kc.models.SimpleJoiner(VOCABULARY),
    }


def parts(y_true, y_pred, **options):
    """The simple loss, and the exact one where the pruned loss would be."""
    outputs = y_pred["encoder_output"], y_pred["predictor_output"]
    lengths = y_true["token_length"], y_pred["frame_length"]
    simple = rnnt_loss_simple(
        y_true["tokens"], *y_pred["simple_joiner"](*outputs), *lengths, blank_id=-1, **options
    )
    exact = rnnt_loss(y_true["tokens"], y_pred["joiner"](*outputs), *lengths, blank_id=-1)
    return ops.convert_to_numpy(simple), ops.convert_to_numpy(exact)


def test_all_columns_give_the_exact_loss(y_true, y_pred):
    y_pred["joiner"](y_pred["encoder_output"], y_pred["predictor_output"])
    loss = PrunedRNNTLoss(
        -1, prune_range=LABELS + 1, simple_scale=0.3, pruned_scale=2.0, predictor_only_scale=0.1,
        reduction=None,
    )  # fmt: skip
    costs = ops.convert_to_numpy(loss(y_true, y_pred))
    simple, exact = parts(y_true, y_pred, predictor_only_scale=0.1)
    np.testing.assert_allclose(costs, 0.3 * simple + 2 * exact, rtol=1e-5)


def test_fewer_columns_cost_more(y_true, y_pred):
    y_pred["joiner"](y_pred["encoder_output"], y_pred["predictor_output"])
    costs = ops.convert_to_numpy(
        PrunedRNNTLoss(-1, prune_range=2, simple_scale=0.0, reduction=None)(y_true, y_pred)
    )
    _, exact = parts(y_true, y_pred)
    assert (costs > exact).all()
    assert np.isfinite(costs).all()


def test_config_round_trip():
    loss = PrunedRNNTLoss(-1, prune_range=3, encoder_only_scale=0.1, reduction="sum")
    config = keras.losses.serialize(loss)
    again = keras.losses.deserialize(config)
    assert isinstance(again, PrunedRNNTLoss)
    assert again.get_config() == loss.get_config()
    assert (again.prune_range, again.encoder_only_scale, again.blank_id) == (3, 0.1, -1)


def test_wrong_arguments_are_named(y_true, y_pred):
    with pytest.raises(ValueError, match=r"`prune_range` has to be 1 or more.*0"):
        PrunedRNNTLoss(prune_range=0)
    with pytest.raises(ValueError, match=r"`predictor_only_scale`.*0 or more"):
        PrunedRNNTLoss(predictor_only_scale=-0.1)
    with pytest.raises(ValueError, match=r"simple_joiner=SimpleJoiner"):
        PrunedRNNTLoss(-1)(y_true, {**y_pred, "simple_joiner": None})
    with pytest.raises(ValueError, match=r"`y_pred`.*simple_joiner"):
        PrunedRNNTLoss(-1)(y_true, {"logits": 0})
