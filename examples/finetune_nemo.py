"""Fine-tunes one of NVIDIA's ContextNets on recordings of your own, and exports it for phones.

    python examples/finetune_nemo.py stt_en_contextnet_256.nemo --manifest mine.jsonl --epochs 10

The manifest's lines have `path`, `text` and a `split`, "train" or "dev"; without one, the ten
recordings beside this file serve as both. Texts must be written as the checkpoint writes them:
the English models know lower-case letters and the apostrophe. The folder gets the best weights as a
preset, history.csv, curve.png and asr.tflite; started again, the run goes on where it ended.

What differs from training: a learning rate a tenth of the paper's or less, since the weights are
good already; for minutes of recordings rather than hours, `--freeze-encoder`, so that predictor and
joiner alone learn the new words and the encoder, batch norm included, stays as NVIDIA trained it.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's messages at start-up

import keras

import keras_contextnet as kc
from keras_contextnet.training import train

EXAMPLES = Path(__file__).parent / "audio" / "manifest.jsonl"


def load_data(manifest):
    """Returns the utterances to train on and those to evaluate on."""
    if manifest is None:
        utterances = kc.data.read_manifest(EXAMPLES)
        return utterances, utterances
    return (kc.data.read_manifest(manifest, split=split) for split in ("train", "dev"))


def compile_model(model, learning_rate, steps):
    """Adam with a warm-up of a tenth of the steps, then a decay to nothing along a cosine."""
    warmup = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        max(1, steps - warmup),
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, clipnorm=5.0),
        metrics=[kc.metrics.WordErrorRate(model.tokenizer)],
    )


def main():
    """Loads, fine-tunes, evaluates before and after, exports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="a .nemo file")
    parser.add_argument("--manifest", type=Path, help="recordings and texts to fine-tune on")
    parser.add_argument("--folder", type=Path, default=Path("runs/finetuned"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--freeze-encoder", action="store_true")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    model = kc.ContextNet.from_nemo(arguments.checkpoint, l2=1e-6)
    model.encoder.trainable = not arguments.freeze_encoder
    utterances, dev = load_data(arguments.manifest)
    train_data = kc.data.make_dataset(utterances, model.tokenizer, batch_seconds=60, shuffle=True)
    dev_data = kc.data.make_dataset(dev, model.tokenizer, batch_size=8, bucket=True)
    steps = arguments.epochs * sum(1 for _ in train_data)
    compile_model(model, arguments.learning_rate, steps)

    before = model.evaluate(dev_data, verbose=0, return_dict=True)
    train(model, train_data, arguments.folder, epochs=arguments.epochs, validation_data=dev_data)
    after = model.evaluate(dev_data, verbose=0, return_dict=True)
    for name in ("loss", "wer"):
        print(f"{name}: {before[name]:.4f} before, {after[name]:.4f} after")
    model.export(arguments.folder / "asr.tflite", format="litert")
    print(f"preset and asr.tflite are in {arguments.folder}")


if __name__ == "__main__":
    main()
