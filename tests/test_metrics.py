import keras
import numpy as np
import pytest
from keras import ops

from keras_contextnet.metrics import CharacterErrorRate, WordErrorRate


@keras.saving.register_keras_serializable(package="test_metrics")
class Digits:
    """A tokenizer with a word for each id."""

    def __init__(self, words=("zero", "one", "two", "three")):
        self.words = list(words)

    def decode(self, ids):
        return " ".join(self.words[i] for i in ids)

    def get_config(self):
        return {"words": self.words}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


REFERENCES = np.array([[1, 2, 3], [0, -1, -1], [-1, -1, -1]], "int32")
HYPOTHESES = np.array([[1, 3, -1, -1], [0, -1, -1, -1], [2, 2, -1, -1]], "int32")
# Errors by utterance: one deletion, none, two insertions; three words and one.
RATE = 3 / 4


def compiled(function):
    """The function as the backend compiles it, its arguments without a value while traced."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    import jax

    return jax.jit(function)


def test_strings():
    metric = WordErrorRate()
    metric.update_state(["the cat sat", "yes"], ["the cat", "yes"])
    metric.update_state("on the mat", "on a mat")
    np.testing.assert_allclose(float(metric.result()), 2 / 7, rtol=1e-6)
    assert {v.name: float(v) for v in metric.variables} == {"errors": 2, "words": 7}
    metric.reset_state()
    assert float(metric.result()) == 0


def test_characters():
    metric = CharacterErrorRate()
    metric.update_state(np.array(["the cat", "été"]), ["the hat", "ete"])
    np.testing.assert_allclose(float(metric.result()), 3 / 10, rtol=1e-6)
    assert {v.name: float(v) for v in metric.variables} == {"errors": 3, "characters": 10}


def test_empty_references():
    metric = WordErrorRate()
    metric.update_state(["", ""], ["", ""])
    assert float(metric.result()) == 0
    metric.update_state(["", "a b c d"], ["x y", "a b c d"])
    assert float(metric.result()) == 0.5
    metric.reset_state()
    metric.update_state([""], ["x"])
    assert float(metric.result()) == float("inf")


@pytest.mark.parametrize("convert", [np.asarray, ops.convert_to_tensor, np.ndarray.tolist])
def test_token_ids(convert):
    metric = WordErrorRate(tokenizer=Digits())
    metric.update_state(convert(REFERENCES), convert(HYPOTHESES))
    assert float(metric.result()) == RATE


def test_sample_weight():
    metric = WordErrorRate()
    metric.update_state(["a b", "c", "d"], ["a", "x", "d"], sample_weight=[1, 0, 2])
    assert float(metric.result()) == 1 / 4


def test_inside_a_compiled_function():
    metric = WordErrorRate(tokenizer=Digits())

    @compiled
    def step(variables, y_true, y_pred):
        return metric.stateless_update_state(variables, y_true, y_pred)

    variables = [ops.zeros(()), ops.zeros(())]
    for _ in range(2):
        variables = step(variables, ops.array(REFERENCES), ops.array(HYPOTHESES))
    assert [float(v) for v in variables] == [6, 8]


def test_strings_and_traced_ids():
    metric = WordErrorRate(tokenizer=Digits())

    @compiled
    def step(variables, y_pred):
        return metric.stateless_update_state(variables, ["one two", "zero", "two"], y_pred)

    variables = step([ops.zeros(()), ops.zeros(())], ops.array(HYPOTHESES))
    assert [float(v) for v in variables] == [2, 4]


@pytest.mark.tensorflow_only
def test_tensorflow_strings():
    import tensorflow as tf

    metric = WordErrorRate()
    metric.update_state(tf.constant(["a b", "été"]), tf.constant(["a c", "été"]))
    metric.update_state(tf.constant("a"), tf.constant("a"))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    def step(y_true, y_pred):
        metric.update_state(y_true, y_pred)

    step(tf.constant(["a b", ""]), tf.constant(["a b", "x y"]))
    np.testing.assert_allclose(float(metric.result()), 3 / 6)


class Copy(keras.Model):
    """Answers with its input, as a transcriber answers with ids."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, inputs):
        return ops.cast(inputs, "float32") * self.scale

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.sum(y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        y_pred = ops.cast(y_pred, "int32")
        return super().compute_metrics(x, y, y_pred, sample_weight)


def test_in_evaluate():
    model = Copy()
    # Python cannot be called from what TensorFlow compiles with XLA.
    model.compile(
        metrics=[WordErrorRate(Digits()), CharacterErrorRate(Digits())], jit_compile=False
    )
    results = model.evaluate(HYPOTHESES, REFERENCES, batch_size=2, verbose=0, return_dict=True)
    assert results["wer"] == RATE
    # "one two three" and "one three" differ by four characters; "" and "two two" by seven.
    np.testing.assert_allclose(results["cer"], 11 / 17, rtol=1e-6)


@pytest.mark.parametrize("kind", [WordErrorRate, CharacterErrorRate])
@pytest.mark.parametrize("tokenizer", [None, Digits(("nil", "ein"))])
def test_config_round_trip(kind, tokenizer):
    metric = kind(tokenizer=tokenizer, name="rate")
    config = keras.metrics.serialize(metric)
    again = keras.metrics.deserialize(config)
    assert config["registered_name"] == f"keras_contextnet>{kind.__name__}"
    assert isinstance(again, kind)
    assert again.name == "rate"
    assert again.get_config() == metric.get_config()
    if tokenizer is not None:
        assert again.tokenizer.words == ["nil", "ein"]


def test_ids_without_a_tokenizer_are_an_error():
    with pytest.raises(ValueError, match=r"`y_true` holds token ids.*`tokenizer`.*\[1, 2, 3\]"):
        WordErrorRate().update_state(REFERENCES, HYPOTHESES)


def test_unequal_batches_are_an_error():
    with pytest.raises(ValueError, match="1 references, 2 hypotheses"):
        WordErrorRate().update_state(["a"], ["a", "b"])
