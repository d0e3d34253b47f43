import keras
import numpy as np
import pytest
from keras import ops

from keras_contextnet.optimizers import FusedAdam

ARGUMENTS = {
    "plain": {},
    "clipped": {"global_clipnorm": 0.5},
    "clipped by value": {"clipvalue": 0.01},
    "decaying": {"weight_decay": 0.1},
    "averaging": {"use_ema": True, "ema_momentum": 0.7},
    "accumulating": {"gradient_accumulation_steps": 2},
    "other betas": {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 1e-2},
}


def fit(optimizer, jit_compile=False):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4, "tanh", name="first"), keras.layers.Dense(1, name="last")]
    model = keras.Sequential([keras.Input((5,)), *layers], name="model")
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 5)).astype("f4"), rng.normal(size=(24, 1)).astype("f4")
    model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_numbers_are_those_of_keras_adam(arguments, jit_compile):
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.5)
    expected = fit(keras.optimizers.Adam(rate, **arguments), jit_compile)
    model = fit(FusedAdam(rate, ema_every=1, **arguments), jit_compile)
    for weight, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-5)
    for slot, other in zip(model.optimizer.variables, expected.optimizer.variables, strict=True):
        assert slot.path.split("/")[1:] == other.path.split("/")[1:]
        np.testing.assert_allclose(
            ops.convert_to_numpy(slot), ops.convert_to_numpy(other), rtol=1e-4, atol=1e-5
        )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others have no slices")
def test_rows_that_come_twice_are_added_up_before_they_are_squared():
    import tensorflow as tf

    dense, sliced = (keras.Variable(np.zeros((3, 1), "float32")) for _ in range(2))
    optimizers = FusedAdam(0.1), FusedAdam(0.1)
    for first, second in ((1.0, 1.0), (1.0, -1.0), (2.0, 1.0)):
        slices = tf.IndexedSlices(tf.constant([[first], [second]]), tf.constant([1, 1]), (3, 1))
        optimizers[0].apply([tf.constant([[0.0], [first + second], [0.0]])], [dense])
        optimizers[1].apply([slices], [sliced])
    np.testing.assert_allclose(sliced.numpy(), dense.numpy())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others average every step")
def test_averages_in_some_steps_with_the_momentum_of_all():
    weight = keras.Variable([0.0])
    optimizer = FusedAdam(1.0, use_ema=True, ema_momentum=0.5, ema_every=3)
    average, expected = None, []
    for step in range(8):
        optimizer.apply([ops.array([-1.0])], [weight])  # Adam moves by 1 a step
        if step % 3 == 0:
            now = step + 1.0
            average = now if average is None else average + (now - average) * (1 - 0.5**3)
        expected.append(average)
        (kept,) = optimizer._model_variables_moving_average
        np.testing.assert_allclose(kept[0], expected[-1], rtol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others compile to few")
def test_takes_few_operators():
    import tensorflow as tf

    def count(optimizer):
        weights = [keras.Variable(np.ones((3, 3), "float32")) for _ in range(20)]
        optimizer.build(weights)

        @tf.function
        def step(gradients):
            optimizer.apply(gradients, weights)

        gradients = [tf.ones((3, 3))] * len(weights)
        graph = step.get_concrete_function(gradients).graph
        return sum(operation.type != "Const" for operation in graph.get_operations())

    assert count(FusedAdam()) < count(keras.optimizers.Adam()) / 2


def test_config_round_trip():
    optimizer = FusedAdam(0.1, ema_every=4, beta_2=0.9, use_ema=True)
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(restored, FusedAdam)
    assert restored.get_config() == optimizer.get_config()


@pytest.mark.parametrize("arguments", [{"ema_every": 0}, {"amsgrad": True}])
def test_refuses(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        FusedAdam(**arguments)
