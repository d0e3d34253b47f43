"""Trains a ContextNet of 0.7 M parameters on a manifest: a first run that a laptop finishes.

    python examples/train_tiny.py manifest.jsonl --epochs 6

The manifest's lines have a `split`, "train" or "dev". The folder gets the best weights as a preset,
history.csv and curve.png; started again, the run goes on where its last epoch ended.
"""

import argparse
from pathlib import Path

import keras

import keras_contextnet as kc
from keras_contextnet.training import train


def block(filters, num_convs=2, strides=1, residual=True):
    """Returns the arguments of one `ContextBlock`."""
    return {
        "filters": filters,
        "num_convs": num_convs,
        "strides": strides,
        "residual": residual,
    }


def make_model(tokenizer):
    """Seven blocks that shorten time early, which is what makes it cheap."""
    outputs = tokenizer.vocabulary_size + 1  # and the blank
    blocks = [
        block(64, num_convs=1, strides=2, residual=False),
        block(96, strides=2),
        block(128, strides=2),
        block(160),
        block(160),
        block(160),
        block(192, num_convs=1, residual=False),
    ]
    return kc.ContextNet(
        encoder=kc.ContextNetEncoder(blocks=blocks, name="encoder"),
        predictor=kc.Predictor(outputs, embedding_size=64, units=128, dropout=0.1),
        joiner=kc.Joiner(outputs, units=128),
        augmenter=kc.layers.SpecAugment(time_masks=2, seed=1),
        tokenizer=tokenizer,
        max_symbols_per_frame=4,
    )


def main():
    """Trains, with a validation word error rate after every epoch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    utterances = kc.data.read_manifest(arguments.manifest, split="train")
    dev = kc.data.read_manifest(arguments.manifest, split="dev")
    tokenizer = kc.text.train_sentencepiece([u.text for u in utterances], vocabulary_size=128)
    model = make_model(tokenizer)
    model.compile(
        optimizer=keras.optimizers.Adam(
            kc.schedules.TransformerSchedule(2.5e-3, warmup_steps=800), clipnorm=5.0
        ),
        metrics=[kc.metrics.WordErrorRate(tokenizer)],
    )
    train(
        model,
        kc.data.make_dataset(
            utterances, tokenizer, batch_seconds=60, shuffle=True, max_duration=17
        ),
        arguments.folder,
        epochs=arguments.epochs,
        validation_data=kc.data.make_dataset(dev, tokenizer, batch_size=16, bucket=True),
    )


if __name__ == "__main__":
    main()
