import keras
import numpy as np
from keras import ops

from keras_contextnet.training import AveragedWeights, FiniteSteps
from keras_contextnet.training.batch_norm_statistics import moving_averages


def make_model(**arguments):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.8)
    model.compile(FiniteSteps(optimizer), "mse", **arguments)
    return model, optimizer


def averages_of(model, *arguments):
    averages = AveragedWeights(*arguments)
    averages.set_model(model)
    return averages


def numbers(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def test_evaluation_sees_the_averages_and_training_never_notices():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 3)).astype("float32")[0], np.ones((40, 2), "float32")
    losses, weights = {}, {}
    for callbacks in ([], [AveragedWeights()]):
        model, _ = make_model()
        history = model.fit(
            x, y, epochs=3, shuffle=False, validation_data=(x, y), verbose=0, callbacks=callbacks
        ).history
        losses[len(callbacks)] = history
        weights[len(callbacks)] = numbers(model.trainable_variables)
    assert losses[0]["loss"] == losses[1]["loss"]
    for weight, other in zip(weights[0], weights[1], strict=True):
        np.testing.assert_array_equal(weight, other)
    # Averages of falling losses lag behind.
    assert (np.array(losses[1]["val_loss"]) > np.array(losses[0]["val_loss"])).all()


def test_averages_are_those_of_the_weights_after_each_step():
    model, _ = make_model()
    x, y = np.ones((8, 3), "float32"), np.zeros((8, 2), "float32")
    expected = None
    for _ in range(4):
        model.train_on_batch(x, y)
        now = numbers(model.trainable_variables)
        expected = (
            now
            if expected is None
            else [
                0.8 * average + 0.2 * weight for average, weight in zip(expected, now, strict=True)
            ]
        )
    with averages_of(model).in_place():
        inside = numbers(model.trainable_variables)
    for average, value in zip(inside, expected, strict=True):
        np.testing.assert_allclose(average, value, rtol=1e-5)
    for weight, value in zip(numbers(model.trainable_variables), now, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_before_any_step_the_weights_stay():
    model, _ = make_model()
    model.optimizer.build(model.trainable_variables)
    before = numbers(model.trainable_variables)
    with averages_of(model).in_place():
        for weight, value in zip(numbers(model.trainable_variables), before, strict=True):
            np.testing.assert_array_equal(weight, value)


def far_from_its_averages(plan, make_compiled):
    """A model whose first steps were large, and whose averages have not followed."""
    model = make_compiled(keras.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.5))
    for batch in plan.dataset().take(4).as_numpy_iterator():
        model.train_on_batch(*batch)
    return model


def test_batch_norm_has_the_statistics_of_the_averages(plan, make_compiled):
    model = far_from_its_averages(plan, make_compiled)
    live = numbers(moving_averages(model))
    averages = averages_of(model, plan.dataset, 60)
    with averages.in_place():
        inside = numbers(moving_averages(model))
        # From elsewhere, by other batches, with the same weights.
        other = make_compiled()
        other.set_weights(model.get_weights())
        for average in moving_averages(other):
            average.assign(np.full(average.shape, 5.0))
        for x, _ in plan.dataset(epoch=7).take(60).as_numpy_iterator():
            other.encode(x, training=True)
    for value, expected, before in zip(inside, numbers(moving_averages(other)), live, strict=True):
        scale = np.abs(expected).max()
        assert np.abs(value - expected).max() < 0.3 * scale
        assert np.abs(value - expected).mean() < 0.5 * np.abs(before - expected).mean()
    for value, before in zip(numbers(moving_averages(model)), live, strict=True):
        np.testing.assert_array_equal(value, before)


def test_batches_are_heard_once_for_each_set_of_averages(plan, make_compiled):
    model, starts = far_from_its_averages(plan, make_compiled), []

    def batches():
        starts.append(0)
        return plan.dataset()

    averages, seen = averages_of(model, batches, 3), []
    for _ in range(2):
        with averages.in_place():
            seen.append(numbers(moving_averages(model)))
    assert len(starts) == 1
    for first, second in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, second)
    model.train_on_batch(*next(plan.dataset().as_numpy_iterator()))
    with averages.in_place():
        assert len(starts) == 2
