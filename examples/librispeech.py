"""Trains one of the paper's models on LibriSpeech with the paper's recipe and what came after it.

    python examples/librispeech.py LibriSpeech --preset small --folder runs/librispeech

The folder is what the corpus's archives unpack to: train-clean-100 and the others that are there
are trained on, dev-clean is validated on. Started again, the run goes on where it was interrupted.

The paper's: Adam, a warm-up of 15,000 steps to 0.0025, L2 of 1e-6, noise on the predictor's
weights, SpecAugment, batches of 2,048 utterances on accelerators. Later practice: batches of like
lengths, speed perturbation, clipped gradients, averaged weights, and a CTC loss beside the
transducer's.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's messages at start-up

import keras

import keras_contextnet as kc
from keras_contextnet.data import EpochPlan, dataset_from_plan, make_dataset, read_librispeech
from keras_contextnet.data.augmentation import SpeedPerturbation
from keras_contextnet.schedules import TransformerSchedule
from keras_contextnet.training import train


def read_training_parts(folder):
    """Returns the utterances of all parts of the corpus for training that are there."""
    parts = sorted(folder.glob("train-*"))
    if not parts:
        raise SystemExit(f"Expected folders such as train-clean-100 in {folder}. There is none.")
    return [utterance for part in parts for utterance in read_librispeech(part)]


def make_model(preset):
    """Returns the paper's model, with a CTC head that is there for training alone."""
    vocabulary_size = kc.text.english_tokenizer().vocabulary_size + 1
    model = kc.ContextNet.from_preset(
        preset,
        load_weights=False,
        l2=1e-6,
        ctc_head=kc.CTCHead(vocabulary_size, name="ctc_head"),
        ctc_weight=0.2,
    )
    model.predictor.variational_noise = 0.075
    return model


def main():
    """Trains, with a validation word error rate after every epoch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("librispeech", type=Path)
    parser.add_argument("--preset", default="small", choices=("small", "medium", "large"))
    parser.add_argument("--folder", type=Path, default=Path("runs/librispeech"))
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-seconds", type=float, default=600.0)
    parser.add_argument("--warmup-steps", type=int, default=15000)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    model = make_model(arguments.preset)
    model.compile(
        keras.optimizers.Adam(
            TransformerSchedule(0.0025, arguments.warmup_steps),
            global_clipnorm=5.0,
            use_ema=True,
            ema_momentum=0.9995,
        ),
        metrics=[kc.metrics.WordErrorRate(model.tokenizer)],
    )
    plan = EpochPlan(
        read_training_parts(arguments.librispeech),
        model.tokenizer,
        batch_seconds=arguments.batch_seconds,
        shuffle=True,
        on_error="skip",
    )
    train(
        model,
        lambda *start: dataset_from_plan(
            plan, augment=[SpeedPerturbation()], start=start, repeat=True
        ),
        arguments.folder,
        arguments.epochs,
        make_dataset(
            read_librispeech(arguments.librispeech / "dev-clean"),
            model.tokenizer,
            batch_seconds=arguments.batch_seconds,
            bucket=True,
        ),
        plan=plan,
    )


if __name__ == "__main__":
    main()
