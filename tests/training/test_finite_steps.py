import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_contextnet.optimizers import FusedAdam
from keras_contextnet.training import FiniteSteps
from keras_contextnet.training.finite_mean import FiniteMean

NAN, INF = float("nan"), float("inf")


@keras.saving.register_keras_serializable(package="tests")
class ScriptedLoss(keras.losses.Loss):
    """What the model answers, times a factor that the targets bring: nan, inf, or 1."""

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_pred - 1.0) * y_true, axis=-1)


def make_model(optimizer, **arguments):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile(optimizer, ScriptedLoss(), **arguments)
    return model


def numbers(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def assert_same(variables, expected):
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)


def batches(factors):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(factors), 4)).astype("float32")
    return x, np.array(factors, "float32")[:, None]


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01, global_clipnorm=1.0, use_ema=True),
    "fused_adam": lambda: FusedAdam(0.01, ema_every=2, global_clipnorm=1.0, use_ema=True),
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
}


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_that_are_not_finite_leave_no_trace(make, jit_compile):
    """Weights, slots, averages and iterations equal those of a run that never saw the batches."""
    factors = [1.0, NAN, 1.0, INF, -INF, 1e38, 1.0]
    x, y = batches(factors)
    bad = make_model(FiniteSteps(make()), jit_compile=jit_compile)
    bad.fit(x, y, batch_size=1, shuffle=False, verbose=0)
    good = make_model(make(), jit_compile=jit_compile)
    finite = np.array(factors) == 1.0
    good.fit(x[finite], y[finite], batch_size=1, shuffle=False, verbose=0)
    # Under JAX a condition compiles what is computed one by one without it.
    close = {"rtol": 1e-6, "atol": 1e-8}
    for variables, expected in (
        (bad.trainable_variables, good.trainable_variables),
        (bad.optimizer.inner_optimizer.variables, good.optimizer.variables),
    ):
        for variable, value in zip(numbers(variables), numbers(expected), strict=True):
            np.testing.assert_allclose(variable, value, **close)
    assert int(ops.convert_to_numpy(bad.optimizer.iterations)) == 3
    assert int(ops.convert_to_numpy(bad.optimizer.skipped)) == 4
    assert bad.optimizer.last_skipped(since=0) == [2, 4, 5, 6]
    assert bad.optimizer.last_skipped(since=3) == [6]


def test_a_finite_loss_with_gradients_that_are_not_is_skipped():
    variable = keras.Variable([0.0, 2.0])
    optimizer = FiniteSteps(keras.optimizers.SGD(0.5))
    optimizer.build([variable])
    for gradient in ([1.0, NAN], [INF, 1.0], [1.0, 1.0], [3e19, 0.0]):
        optimizer.apply([ops.convert_to_tensor(np.array(gradient, "float32"))], [variable])
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), [-0.5, 1.5])
    assert optimizer.last_skipped(0) == [1, 2, 4]


def test_a_loss_that_is_not_finite_has_no_finite_gradient():
    optimizer = FiniteSteps(keras.optimizers.SGD(0.5))
    for loss, expected in ((2.0, 2.0), (NAN, NAN), (INF, NAN), (-INF, NAN)):
        scaled = optimizer.scale_loss(ops.convert_to_tensor(np.float32(loss)))
        np.testing.assert_equal(float(ops.convert_to_numpy(scaled)), expected)


def test_only_the_last_ones_are_remembered():
    variable = keras.Variable([0.0])
    optimizer = FiniteSteps(keras.optimizers.SGD(0.5))
    for _ in range(70):
        optimizer.apply([ops.convert_to_tensor(np.array([NAN], "float32"))], [variable])
    assert optimizer.last_skipped(0) == list(range(7, 71))
    assert optimizer.last_skipped(68) == [69, 70]


def test_is_saved_and_loaded_with_its_model(tmp_path):
    x, y = batches([1.0, NAN, 1.0])
    model = make_model(FiniteSteps(keras.optimizers.Adam(0.01)))
    model.fit(x, y, batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, FiniteSteps)
    assert_same(again.optimizer.variables, numbers(model.optimizer.variables))


def test_half_precision_still_adapts_its_scale():
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=8.0)
    model = make_model(FiniteSteps(scaling))
    before = numbers(model.trainable_variables)
    x, y = batches([NAN, NAN])
    model.fit(x, y, batch_size=1, verbose=0)
    assert float(ops.convert_to_numpy(scaling.dynamic_scale)) == 2.0
    assert_same(model.trainable_variables, before)
    assert model.optimizer.last_skipped(0) == [1, 2]


def test_the_learning_rate_is_that_of_the_optimizer_inside():
    inner = keras.optimizers.SGD(0.5)
    optimizer = FiniteSteps(inner)
    optimizer.learning_rate = 0.25
    assert float(ops.convert_to_numpy(inner.learning_rate)) == 0.25
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0.25


@pytest.mark.parametrize("inner", ["adam", None, 0.1])
def test_anything_but_an_optimizer_is_refused(inner):
    with pytest.raises(ValueError, match=r"inner_optimizer.*Received"):
        FiniteSteps(inner)


@pytest.mark.tensorflow_only
def test_replicas_skip_together():
    """One replica's part of the batch is broken: no replica moves."""
    script = Path(__file__).with_name("two_replicas.py")
    # A process of its own, since devices are fixed before anything runs.
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["replicas"] == 2
    assert result["skipped"] == [2]
    assert result["iterations"] == 3
    assert all(first == second for first, second in result["weights"])
    first, second, third, fourth = (pair[0] for pair in result["weights"])
    assert first == second
    assert len({second, third, fourth}) == 3
    assert np.isfinite(fourth)


def test_a_mean_leaves_out_what_is_not_finite():
    mean = FiniteMean()
    assert float(ops.convert_to_numpy(mean.result())) == 0.0
    for value, weight in ((2.0, 1), (NAN, 5), (INF, 5), (5.0, 2)):
        mean.update_state(value, sample_weight=weight)
    assert float(ops.convert_to_numpy(mean.result())) == 4.0
    mean.update_state(np.array([NAN, 10.0]), sample_weight=np.array([1.0, 3.0]))
    assert float(ops.convert_to_numpy(mean.result())) == 7.0
