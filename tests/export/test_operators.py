import pytest

from keras_contextnet.export import litert_operators

pytestmark = pytest.mark.tensorflow_only


def convert(function):
    import tensorflow as tf

    concrete = tf.function(function).get_concrete_function(tf.TensorSpec((4,), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.allow_custom_ops = True
    return converter.convert()


def test_counts_operators_inside_loops(tmp_path):
    import tensorflow as tf

    def function(x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 9.0, lambda y: [tf.tanh(y) * y], [x])

    path = tmp_path / "loop.tflite"
    path.write_bytes(convert(function))
    assert litert_operators(path) == {"WHILE": 1, "SUM": 1, "LESS": 1, "TANH": 1, "MUL": 1}


def test_names_custom_operators(tmp_path):
    import tensorflow as tf

    path = tmp_path / "custom.tflite"
    path.write_bytes(convert(tf.math.bessel_i0e))
    assert litert_operators(path) == {"CUSTOM:BesselI0e": 1}
