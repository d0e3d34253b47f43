import numpy as np
import pytest

from keras_contextnet.data.augmentation import RandomGain


def test_gains_are_spread_over_the_range():
    generator = np.random.default_rng(0)
    ones = np.ones(3, "float32")
    results = [RandomGain(decibels=(-10, 3))(ones, 16000, generator) for _ in range(300)]
    assert all(r.dtype == np.float32 and (r == r[0]).all() for r in results)
    decibels = 20 * np.log10([r[0] for r in results])
    assert -10.001 <= decibels.min() < -9.5
    assert 2.5 < decibels.max() <= 3.001
    assert (ones == 1).all()


def test_probability_and_nothing():
    ones, generator = np.ones(3, "float32"), np.random.default_rng(0)
    sometimes = RandomGain(probability=0.25)
    assert 70 < sum(sometimes(ones, 16000, generator) is not ones for _ in range(400)) < 130
    assert RandomGain()(ones[:0], 16000, generator).shape == (0,)


def test_bad_arguments():
    with pytest.raises(ValueError, match="Expected decibels to be the lowest and the highest"):
        RandomGain(decibels=(3, -10))
