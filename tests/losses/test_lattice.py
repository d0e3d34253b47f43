import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_contextnet.losses.lattice import lattice_cost, skew, unskew


def test_skew_puts_each_anti_diagonal_in_a_row():
    plane = np.arange(1, 13, dtype="float32").reshape(1, 3, 4)
    skewed = np.asarray(ops.convert_to_numpy(skew(ops.convert_to_tensor(plane))))

    assert skewed.shape == (6, 1, 4)
    for n in range(6):
        for u in range(4):
            expected = plane[0, n - u, u] if 0 <= n - u < 3 else np.float32(-1e30)
            assert skewed[n, 0, u] == expected
    np.testing.assert_array_equal(ops.convert_to_numpy(unskew(skewed, 3)), plane)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_posteriors_of_each_frame_and_of_each_label_add_up_to_one(value_and_gradient, data):
    # Every alignment takes exactly one blank per frame and each label exactly once.
    frames, labels = data.draw(st.sampled_from([(1, 0), (1, 5), (12, 1), (10, 8)]))
    frame_length = data.draw(st.integers(1, frames))
    label_length = data.draw(st.integers(0, labels))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    arcs = rng.normal(0, 4, (2, 1, frames, labels + 1)).astype("float32")

    def cost(arcs):
        return lattice_cost(arcs[0], arcs[1], [frame_length], [label_length])

    _, gradient = value_and_gradient(cost, arcs)
    blank, label = -gradient[:, 0]
    np.testing.assert_allclose(blank[:frame_length].sum(axis=1), 1, atol=2e-6)
    np.testing.assert_allclose(label[:, :label_length].sum(axis=0), 1, atol=2e-6)
    assert not blank[frame_length:].any()
    assert not label[frame_length:].any()
    assert not blank[:, label_length + 1 :].any()
    assert not label[:, label_length:].any()
    assert (gradient <= 0).all()


def test_long_lattice_keeps_float32_precision(value_and_gradient):
    rng = np.random.default_rng(0)
    arcs = -rng.exponential(4, (2, 1, 700, 61))

    def cost(arcs):
        return lattice_cost(arcs[0], arcs[1], [700], [60])

    exact, exact_gradient = value_and_gradient(cost, arcs, "graph")
    value, gradient = value_and_gradient(cost, arcs.astype("float32"), "graph")
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    np.testing.assert_allclose(gradient, exact_gradient, atol=2e-5)
