import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_contextnet.export import litert_operators
from keras_contextnet.export.litert_model import constant, operators, read_model, write_model
from keras_contextnet.export.small_weights import store_float16, store_int8

pytestmark = pytest.mark.tensorflow_only

WEIGHTS = {"FULLY_CONNECTED": 1, "GATHER": 0, "DEPTHWISE_CONV_2D": 1}  # which input
FLOAT32, FLOAT16, INT8 = 0, 1, 9  # of the schema's TensorType


@pytest.fixture(scope="module")
def convert():
    """Returns a function that converts a function of one input, `x`, to a `ModelT`."""
    import tensorflow as tf

    def convert(function, shape, dtype):
        spec = tf.TensorSpec(shape, dtype, name="x")
        module = tf.Module()
        module.function = tf.function(lambda x: {"y": function(x)}, input_signature=[spec])
        concrete = module.function.get_concrete_function()
        return read_model(
            tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
        )

    return convert


def constants(model):
    """Constant weights as they are stored: names of their operator and its output, tensor."""
    found = []
    for graph, operator, name in operators(model):
        if name not in WEIGHTS:
            continue
        tensor = graph.tensors[operator.inputs[WEIGHTS[name]]]
        halves = [
            graph.tensors[o.inputs[0]]
            for o in graph.operators
            if operator.inputs[WEIGHTS[name]] in o.outputs
        ]
        tensor = halves[0] if halves else tensor
        if model.buffers[tensor.buffer].data is not None and tensor.type != 2:
            found.append((name, graph.tensors[operator.outputs[0]].name.decode(), tensor))
    return found


def bytes_of_constants(model):
    return sum(buffer.data.size for buffer in model.buffers if buffer.data is not None)


def step(run, content, key, seed=0):
    """The outputs of `join`, or `predict`, for three rows of random inputs."""
    random = np.random.default_rng(seed)
    inputs = {
        "join": lambda: {
            name: random.normal(size=(3, 32)).astype("float32") for name in ("frame", "prediction")
        },
        "predict": lambda: {
            "token": np.array([0, 13, 28], "int32"),
            "state": random.normal(size=(3, 48)).astype("float32"),
        },
    }
    return run(content, key, inputs[key]())


@pytest.mark.parametrize(("store", "difference"), [(store_float16, 0.002), (store_int8, 0.05)])
@pytest.mark.parametrize("key", ["join", "predict"])
def test_computes_nearly_the_same(run, converted, converted_content, store, difference, key):
    store(converted)
    expected = step(run, converted_content, key)
    for name, value in step(run, write_model(converted), key).items():
        assert value.dtype == np.float32
        largest = np.abs(expected[name]).max()
        assert 0 < np.abs(value - expected[name]).max() < difference * largest


@pytest.mark.parametrize(("store", "difference"), [(store_float16, 0.01), (store_int8, 0.2)])
def test_encodes_nearly_the_same(
    run, converted, converted_content, padded_noise, store, difference
):
    store(converted, ["frontend"])
    expected = run(converted_content, "transcribe", padded_noise)["frames"]
    frames = run(write_model(converted), "transcribe", padded_noise)["frames"]
    assert 0 < np.abs(frames - expected).max() < difference * np.abs(expected).max()


@pytest.mark.parametrize("store", [store_float16, store_int8])
def test_small_weights_and_layers_to_keep_stay_float(converted, store):
    before = {
        name: constant(converted, tensor).tobytes() for _, name, tensor in constants(converted)
    }
    store(converted, ["frontend", "lstm_cell"])
    kept = [found for found in constants(converted) if found[2].type == FLOAT32]
    names = [name for _, name, _ in kept]
    assert any("frontend" in name for name in names)
    assert any("lstm_cell" in name for name in names)
    assert not any("embedding" in name or "conv_0" in name for name in names)
    for _, name, tensor in kept:
        values = constant(converted, tensor)
        assert "frontend" in name or "lstm_cell" in name or values.size < 512
        assert values.tobytes() == before[name]


@pytest.mark.parametrize("store", [store_float16, store_int8])
def test_a_layer_of_several_subgraphs_is_kept_in_all_of_them(
    run, converted, converted_content, store
):
    """Though its name in the signature `join` says nothing."""
    store(converted, ["output_projection"])
    expected = step(run, converted_content, "join")
    np.testing.assert_array_equal(
        step(run, write_model(converted), "join")["logits"], expected["logits"]
    )


@pytest.mark.parametrize("store", [store_float16, store_int8])
def test_each_weight_is_stored_once(converted, store):
    store(converted)
    write_model(converted)
    stored = [bytes(buffer.data) for buffer in converted.buffers if buffer.data is not None]
    assert len(set(stored)) == len(stored)
    by_name = {}
    for name, made, tensor in constants(converted):
        if "embedding" in made:
            assert name == "GATHER"
            by_name.setdefault("embedding", set()).add(tensor.buffer)
    assert len(by_name["embedding"]) == 1


def test_kinds_of_weights_are_stored_as_they_should_be(converted):
    store_int8(converted, ["frontend"])
    types = {
        name: tensor.type
        for name, made, tensor in constants(converted)
        if "frontend" not in made and np.prod(tensor.shape) >= 512
    }
    assert types == {"FULLY_CONNECTED": INT8, "GATHER": INT8, "DEPTHWISE_CONV_2D": FLOAT16}


def test_half_precision_takes_half_the_bytes(converted):
    before = bytes_of_constants(converted)
    store_float16(converted)
    write_model(converted)  # drops what nothing uses
    assert bytes_of_constants(converted) < 0.6 * before


def replace_weights(model, matrix):
    ((_, _, tensor),) = constants(model)
    model.buffers[tensor.buffer].data = np.frombuffer(matrix.tobytes(), np.uint8)


MATRICES = arrays(
    np.float32,
    (16, 32),
    elements=st.floats(-60000, 60000, width=32)
    | st.floats(-1, 1, width=32)
    | st.sampled_from([0.0, 2.0**-149, -(2.0**-140), 2.0**-126]),
)


@pytest.fixture(scope="module")
def dense_content(convert):
    matrix = np.random.default_rng(0).normal(size=(16, 32)).astype("float32")

    def dense(x):
        import tensorflow as tf

        return tf.matmul(x, matrix, transpose_b=True)

    return write_model(convert(dense, (None, 32), "float32"))


@settings(max_examples=30)
@given(matrix=MATRICES, dead=st.integers(0, 15))
def test_weights_are_within_half_a_step(dense_content, matrix, dead):
    matrix[dead] = 0
    model = read_model(dense_content)
    replace_weights(model, matrix)
    store_int8(model)
    ((_, _, tensor),) = constants(model)
    levels = np.asarray(model.buffers[tensor.buffer].data).view(np.int8).reshape(16, 32)
    scale = np.asarray(tensor.quantization.scale)
    assert (scale > 0).all()
    assert not np.any(tensor.quantization.zeroPoint)
    assert np.abs(levels.astype(int)).max() <= 127
    assert not levels[dead].any()
    wrong = np.abs(levels * scale[:, None].astype("float64") - matrix)
    # Half a step of 127 to the largest of each row; what is next to nothing may become nothing.
    largest = np.abs(matrix.astype("float64")).max(axis=1, keepdims=True)
    assert (wrong <= np.maximum(0.5001 * largest / 127, 1e-30)).all()


@pytest.mark.parametrize("store", [store_float16, store_int8])
@pytest.mark.parametrize("value", [65520.0, -1e6, float("inf"), float("nan")])
def test_what_overflows_half_precision_stays_float(dense_content, store, value):
    matrix = np.ones((16, 32), np.float32)
    matrix[3, 4] = value
    model = read_model(dense_content)
    replace_weights(model, matrix)
    store(model)
    ((_, _, tensor),) = constants(model)
    assert tensor.type == FLOAT32
    np.testing.assert_array_equal(constant(model, tensor), matrix)


def test_the_largest_of_half_precision_fits(dense_content):
    model = read_model(dense_content)
    replace_weights(model, np.full((16, 32), 65504, np.float32))
    store_float16(model)
    ((_, _, tensor),) = constants(model)
    assert tensor.type == FLOAT16
    halves = np.asarray(model.buffers[tensor.buffer].data).view(np.float16)
    assert (halves == 65504).all()


def test_rows_of_an_embedding_are_those_that_were_looked_up(run, convert):
    """Of one scale, so that each is within half a step of 127 to the largest of all."""
    import tensorflow as tf

    table = np.random.default_rng(0).normal(size=(40, 32)).astype("float32")
    table[7] = 0
    # Two look-ups, as in a predictor that reads the last two tokens.
    model = convert(
        lambda x: tf.concat([tf.gather(table, x), tf.gather(table, x + 1)], -1), (None,), "int32"
    )
    store_int8(model)
    tokens = np.array([0, 6, 38], "int32")
    rows = run(write_model(model), "serving_default", {"x": tokens})["y"]
    expected = np.concatenate([table[tokens], table[tokens + 1]], axis=-1)
    assert np.abs(rows - expected).max() <= 0.501 * np.abs(table).max() / 127
    assert not rows[1, 32:].any()


@pytest.mark.parametrize("store", [store_float16, store_int8])
def test_a_matrix_that_is_also_an_embedding_is_right_in_both(run, convert, store):
    import tensorflow as tf

    table = np.random.default_rng(0).normal(size=(40, 32)).astype("float32")
    model = convert(
        lambda x: tf.matmul(tf.gather(table, x), table, transpose_b=True), (None,), "int32"
    )
    store(model)
    tokens = np.array([0, 6], "int32")
    product = run(write_model(model), "serving_default", {"x": tokens})["y"]
    expected = table[tokens] @ table.T
    assert np.abs(product - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("quantization", ["float16", "dynamic_int8"])
def test_an_export_is_smaller_and_has_no_custom_operator(
    convert_once, converted_model, converted_content, tmp_path, quantization
):
    path = tmp_path / "asr.tflite"
    converted_model.export(path, format="litert", quantization=quantization)
    assert path.stat().st_size < len(converted_content)
    assert not [name for name in litert_operators(path) if name.startswith("CUSTOM")]
