"""A plan of batches in memory, as `keras_contextnet.data.EpochPlan` makes them of recordings."""

from dataclasses import dataclass

import numpy as np

import keras_contextnet as kc

FRAMES = 16


@dataclass(frozen=True)
class Utterance:
    id: str
    index: int
    duration: float


class MemoryPlan:
    """`count` utterances of features in batches of `size`, in another order every epoch."""

    def __init__(self, count=12, size=2):
        self.count, self.size = count, size
        rng = np.random.default_rng(3)
        self.features = rng.normal(size=(count, FRAMES, 80)).astype("float32")
        self.tokens = rng.integers(1, 28, size=(count, 3)).astype("int32")
        self.bad = set()
        self.skipped = []

    def __len__(self):
        return self.count // self.size

    def batches(self, epoch):
        order = np.random.default_rng([1, epoch]).permutation(self.count)
        names = [Utterance(f"utterance-{i}", int(i), 0.4) for i in order]
        return [names[i : i + self.size] for i in range(0, self.count, self.size)]

    def position_after(self, steps, start=(0, 0)):
        batch = start[1] + steps
        return (start[0] + batch // len(self), batch % len(self))

    def dataset(self, epoch=0, batch=0):
        """Batches from there on, for ever; as `dataset_from_plan(..., repeat=True)`."""
        import tensorflow as tf

        def generate():
            e, b = epoch, batch
            while True:
                indices = [utterance.index for utterance in self.batches(e)[b]]
                features = self.features[indices]
                if self.bad & {f"utterance-{i}" for i in indices}:
                    features = features * np.float32("nan")
                lengths = np.full(self.size, FRAMES, "int32")
                x = {"features": features, "features_length": lengths}
                y = {"tokens": self.tokens[indices], "token_length": np.full(self.size, 3, "int32")}
                yield x, y
                e, b = self.position_after(1, (e, b))

        def spec(shape, dtype):
            return tf.TensorSpec((self.size, *shape), dtype)

        signature = (
            {"features": spec((FRAMES, 80), tf.float32), "features_length": spec((), tf.int32)},
            {"tokens": spec((3,), tf.int32), "token_length": spec((), tf.int32)},
        )
        return tf.data.Dataset.from_generator(generate, output_signature=signature)


def make_model(random=True):
    """A small model, `random` with everything that draws random numbers while training."""
    block = {"filters": 8, "num_convs": 1, "strides": 4, "residual": False}
    noise = {"dropout": 0.2, "lstm_dropout": 0.1, "variational_noise": 0.05} if random else {}
    return kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=[block], squeeze_excite=random),
        predictor=kc.Predictor(29, embedding_size=8, units=8, **noise),
        joiner=kc.Joiner(29, units=8),
        augmenter=kc.layers.SpecAugment(time_masks=2, frequency_width=10) if random else None,
        tokenizer=kc.text.CharacterTokenizer(),
        l2=1e-6 if random else 0.0,
    )
