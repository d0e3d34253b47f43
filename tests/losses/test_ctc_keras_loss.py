import keras
import numpy as np
import pytest
from keras import ops

from keras_contextnet.losses import CTCLoss, ctc_loss

TOKENS = np.array([[0, 1, 1], [2, 1, 0], [1, 1, 1]])
COUNTS, FRAMES = np.array([3, 2, 3]), np.array([6, 4, 4])  # the last one does not fit


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")


@pytest.fixture
def costs(logits):
    costs = np.array(ops.convert_to_numpy(ctc_loss(TOKENS, logits, COUNTS, FRAMES, blank_id=3)))
    assert np.isinf(costs).tolist() == [False, False, True]
    return np.where(np.isinf(costs), 0.0, costs)


def call(loss, logits, **arguments):
    y_true = {"tokens": TOKENS, "token_length": COUNTS}
    value = loss(y_true, {"logits": logits, "frame_length": FRAMES}, **arguments)
    return ops.convert_to_numpy(value)


@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [("sum_over_batch_size", np.mean), ("sum", np.sum), (None, np.asarray)],
)
def test_what_does_not_fit_costs_nothing(reduction, reduce, logits, costs):
    value = call(CTCLoss(blank_id=-1, reduction=reduction), logits)
    np.testing.assert_allclose(value, reduce(costs), rtol=1e-6)


def test_sample_weights(logits, costs):
    value = call(CTCLoss(blank_id=3), logits, sample_weight=np.array([1.0, 0.5, 2.0]))
    np.testing.assert_allclose(value, (costs * [1, 0.5, 2]).mean(), rtol=1e-6)


def test_what_does_not_fit_has_no_gradient(logits, value_and_gradient):
    value, gradient = value_and_gradient(lambda x: call_tensor(x), logits)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert gradient.any(axis=(1, 2)).tolist() == [True, True, False]


def call_tensor(logits):
    return CTCLoss(3)(
        {"tokens": TOKENS, "token_length": COUNTS}, {"logits": logits, "frame_length": FRAMES}
    )


def test_bare_tensors(logits):
    """Tokens padded with -1, logits without padding."""
    tokens = np.where(np.arange(3) < COUNTS[:, None], TOKENS, -1)
    whole = ctc_loss(TOKENS, logits, COUNTS, np.full(3, 6), blank_id=3)
    value = CTCLoss(blank_id=3)(tokens, logits)
    np.testing.assert_allclose(value, np.mean(ops.convert_to_numpy(whole)), rtol=1e-6)


def test_missing_keys_are_named(logits):
    with pytest.raises(ValueError, match=r"`y_pred`.*\['logits', 'frame_length'\].*\['logits'\]"):
        CTCLoss()({"tokens": TOKENS, "token_length": COUNTS}, {"logits": logits})


def test_config_round_trip():
    config = keras.losses.serialize(CTCLoss(blank_id=7, reduction="sum", name="aux"))
    loss = keras.losses.deserialize(config)
    assert type(loss) is CTCLoss
    assert (loss.blank_id, loss.reduction, loss.name) == (7, "sum", "aux")
