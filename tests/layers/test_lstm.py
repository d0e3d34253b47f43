import keras
import numpy as np
import pytest

from keras_contextnet.layers.lstm import LSTM

FEATURES, UNITS = 5, 7


@pytest.fixture
def layers(randomize):
    """Ours and Keras's, of the same weights, which are large enough for gates to saturate."""
    ours, theirs = (cls(UNITS, return_sequences=True) for cls in (LSTM, keras.layers.LSTM))
    for layer in (ours, theirs):
        layer.build((None, None, FEATURES))
    theirs.set_weights(randomize(ours).get_weights())
    return ours, theirs


def gradients(layer, inputs, upstream):
    """Outputs in training, and the gradients of the inputs and of each weight."""

    def run(inputs, *weights):
        with keras.StatelessScope(state_mapping=zip(layer.weights, weights, strict=True)):
            return layer(inputs, training=True)

    if keras.backend.backend() == "jax":
        import jax

        outputs, pull_back = jax.vjp(jax.jit(run), inputs, *layer.get_weights())
        return [outputs, *pull_back(upstream)]
    import tensorflow as tf

    arguments = [tf.constant(x) for x in (inputs, *layer.get_weights())]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        outputs = run(*arguments)
    return [outputs, *tape.gradient(outputs, arguments, output_gradients=upstream)]


@pytest.mark.parametrize("shape", [(3, 6), (2, 1), (1, 40)], ids=str)
def test_outputs_and_gradients_are_those_of_keras(shape, rng, layers):
    inputs = rng.normal(size=(*shape, FEATURES)).astype("float32")
    upstream = rng.normal(size=(*shape, UNITS)).astype("float32")
    ours, theirs = (gradients(layer, inputs, upstream) for layer in layers)
    for actual, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_inference_is_that_of_keras(rng, layers):
    inputs = rng.normal(size=(2, 5, FEATURES)).astype("float32")
    ours, theirs = (keras.ops.convert_to_numpy(layer(inputs)) for layer in layers)
    np.testing.assert_array_equal(ours, theirs)


def test_a_state_to_start_from_or_a_mask_is_left_to_keras(rng, layers):
    inputs = rng.normal(size=(2, 5, FEATURES)).astype("float32")
    state = [rng.normal(size=(2, UNITS)).astype("float32") for _ in range(2)]
    mask = np.arange(5) < np.array([[5], [2]])
    for arguments in ({"initial_state": state}, {"mask": mask}):
        ours, theirs = (layer(inputs, training=True, **arguments) for layer in layers)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_batch_of_nothing(layers):
    inputs = np.zeros((0, 4, FEATURES), "float32")
    assert layers[0](inputs, training=True).shape == (0, 4, UNITS)


def test_half_precision(rng):
    layer = LSTM(UNITS, return_sequences=True, dtype="mixed_bfloat16")
    inputs = rng.normal(size=(2, 5, FEATURES)).astype("float32")
    outputs = layer(inputs, training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    np.testing.assert_allclose(
        np.asarray(outputs, "float32"), np.asarray(layer(inputs), "float32"), atol=2e-2
    )


@pytest.mark.tensorflow_only
def test_sizes_may_be_unknown_in_a_graph(rng, layers):
    import tensorflow as tf

    ours, theirs = layers
    inputs = rng.normal(size=(2, 5, FEATURES)).astype("float32")
    upstream = rng.normal(size=(2, 5, UNITS)).astype("float32")

    @tf.function(input_signature=[tf.TensorSpec((None, None, FEATURES)), tf.TensorSpec(None)])
    def slopes(inputs, upstream):
        with tf.GradientTape() as tape:
            outputs = ours(inputs, training=True)
        return [outputs, *tape.gradient(outputs, ours.trainable_variables, upstream)]

    outputs, _, *expected = gradients(theirs, inputs, upstream)
    for ours, theirs in zip(slopes(inputs, upstream), [outputs, *expected], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow_only
def test_loops_add_up_no_matrix_of_a_weight_s_size(rng, layers):
    """What the layer is for: Keras's backward loop carries a gradient for each weight."""
    import tensorflow as tf

    inputs = rng.normal(size=(2, 5, FEATURES)).astype("float32")

    def carried(layer):
        @tf.function
        def slopes(inputs):
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(layer(inputs, training=True))
            return tape.gradient(total, layer.trainable_variables)

        operators = slopes.get_concrete_function(inputs).graph.get_operations()
        loops = [operator for operator in operators if operator.type.endswith("While")]
        assert len(loops) == 2  # one forward, one backward
        shapes = {tuple(output.shape) for output in loops[1].outputs if output.shape.rank}
        return shapes & {tuple(weight.shape) for weight in layer.weights}

    ours, theirs = layers
    assert carried(theirs)
    assert not carried(ours)
