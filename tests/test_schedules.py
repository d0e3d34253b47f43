import keras
import numpy as np
import pytest

from keras_contextnet.schedules import TransformerSchedule, WarmupCosineSchedule


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0025 / 15000),
        (7499, 0.00125),
        (14999, 0.0025),
        (59999, 0.00125),  # four times the warm-up: half the peak
        (1499999, 0.00025),
    ],
)
def test_paper_schedule(step, rate):
    np.testing.assert_allclose(float(TransformerSchedule()(step)), rate, rtol=1e-6)


def test_is_the_transformers_own_formula():
    # Vaswani et al., equation 3: width ** -0.5 * min(step ** -0.5, step * warmup ** -1.5).
    schedule = TransformerSchedule(peak_learning_rate=(512 * 4000) ** -0.5, warmup_steps=4000)
    for step in (1, 100, 4000, 4001, 100_000):
        rate = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        np.testing.assert_allclose(float(schedule(step - 1)), rate, rtol=1e-6)


def test_drives_an_optimizer():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].set_weights([np.zeros((1, 1), "float32")])
    schedule = TransformerSchedule(peak_learning_rate=0.5, warmup_steps=2)
    model.compile(keras.optimizers.SGD(schedule), loss=lambda y_true, y_pred: -y_pred)
    model.fit(np.ones((4, 1)), np.ones((4, 1)), batch_size=1, epochs=1, verbose=0)
    # A gradient of -1 at each step: the weight is the sum of the rates.
    rates = 0.5 * np.array([0.5, 1, np.sqrt(2 / 3), np.sqrt(2 / 4)])
    np.testing.assert_allclose(model.layers[0].get_weights()[0], [[rates.sum()]], rtol=1e-5)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.01),  # the first of ten updates of the warm-up
        (9, 0.1),
        (34, 0.1 * (0.5 + 0.5 * np.cos(np.pi / 4))),
        (59, 0.05),  # half-way down
        (109, 0.0),
        (5000, 0.0),
    ],
)
def test_half_a_cosine_after_the_warm_up(step, rate):
    schedule = WarmupCosineSchedule(0.1, warmup_steps=10, total_steps=110)
    np.testing.assert_allclose(float(schedule(step)), rate, rtol=1e-5, atol=1e-8)


def test_falls_as_keras_cosine_does():
    schedule = WarmupCosineSchedule(0.3, warmup_steps=20, total_steps=220)
    keras_schedule = keras.optimizers.schedules.CosineDecay(0.3, decay_steps=200)
    for step in (19, 20, 77, 150, 218, 219):
        rate = float(keras_schedule(step - 19))
        np.testing.assert_allclose(float(schedule(step)), rate, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "schedule",
    [
        TransformerSchedule(peak_learning_rate=0.01, warmup_steps=7, name="warm"),
        WarmupCosineSchedule(0.01, warmup_steps=7, total_steps=70, name="cosine"),
    ],
    ids=["transformer", "cosine"],
)
def test_config_round_trip(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    optimizer = keras.optimizers.Adam(schedule)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    np.testing.assert_allclose(float(again.learning_rate), float(optimizer.learning_rate))


@pytest.mark.parametrize("arguments", [{"peak_learning_rate": 0}, {"warmup_steps": 0}])
def test_wrong_arguments_are_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=0"):
        TransformerSchedule(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 1, 2), "peak_learning_rate"), ((1, 0, 2), "warmup_steps"), ((1, 5, 5), "warmup_steps")],
)
def test_a_run_without_room_for_its_decay_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        WarmupCosineSchedule(*arguments)
