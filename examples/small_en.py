"""Trains the preset small_en: CTC first, then the transducer around what the encoder has learnt.

    python examples/small_en.py manifest.jsonl synthetic/manifest.jsonl --noise noise

The manifests' lines have a `split`: "dev" to validate on; "synthetic" for speech that nobody said;
all others to train on, twice in every epoch. Started again with the same arguments, it goes on
where it was interrupted. The folder gets one folder a stage, and the result as `small_en`:

    short        CTC on utterances of a few seconds, nothing masked: on whole ones, a CTC model can
                 answer with blanks alone for days
    ctc          CTC on all
    (text)       the new predictor alone, as a language model, where there is `--text`
    frozen       the new predictor and joiner, on real speech, while the encoder stays as it is
    transducer   all weights, on all
    real         the same, on real speech, nothing masked
"""

import argparse
import os
import random
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's messages at start-up

import keras
import tensorflow as tf

import keras_contextnet as kc
from keras_contextnet.data import EpochPlan, dataset_from_plan, make_dataset, read_manifest
from keras_contextnet.data.augmentation import AddNoise, Reverberate, SpeedPerturbation
from keras_contextnet.models import PredictorLanguageModel
from keras_contextnet.schedules import WarmupCosineSchedule
from keras_contextnet.training import train


def encoder_blocks():
    """All three strides at the start, where the paper's 23 blocks have them at 3, 7 and 14.

    On a CPU the paper's first blocks take most of a step, which counts where days are short.
    """
    first = [
        {"filters": 96, "num_convs": 1, "strides": 2, "residual": False},
        {"filters": 192, "num_convs": 2, "strides": 2, "residual": True},
        {"filters": 256, "num_convs": 2, "strides": 2, "residual": True},
    ]
    middle = {"filters": 384, "num_convs": 3, "strides": 1, "residual": True}
    last = {"filters": 512, "num_convs": 1, "strides": 1, "residual": False}
    return [*first, *[dict(middle) for _ in range(8)], last]


def make_ctc_model(tokenizer):
    """The encoder with a CTC head."""
    return kc.ContextNetCTC(
        encoder=kc.ContextNetEncoder(
            blocks=encoder_blocks(), squeeze_excite_conv=False, dropout=0.1, name="encoder"
        ),
        ctc_head=kc.CTCHead(tokenizer.vocabulary_size + 1, name="ctc_head"),
        tokenizer=tokenizer,
    )


def make_augmenter():
    """Few speakers made many; the paper's masks, up to ten in time for longer utterances."""
    return keras.Sequential(
        [kc.layers.VocalTractPerturbation(), kc.layers.SpecAugment(time_masks=5)], name="augmenter"
    )


def with_augmenter(ctc):
    """The same parts, whose features are masked in training."""
    return kc.ContextNetCTC(
        encoder=ctc.encoder,
        ctc_head=ctc.ctc_head,
        augmenter=make_augmenter(),
        tokenizer=ctc.tokenizer,
    )


def make_transducer(ctc):
    """The transducer around a trained encoder, whose CTC loss goes on beside the new one."""
    outputs = ctc.tokenizer.vocabulary_size + 1
    return kc.ContextNet(
        encoder=ctc.encoder,
        predictor=kc.Predictor(
            outputs, embedding_size=256, units=320, dropout=0.2, name="predictor"
        ),
        joiner=kc.Joiner(outputs, units=320, name="joiner"),
        frontend=ctc.frontend,
        augmenter=make_augmenter(),
        tokenizer=ctc.tokenizer,
        ctc_head=ctc.ctc_head,
        ctc_weight=0.2,
        max_symbols_per_frame=4,
        name="small_en",
    )


def read_sentences(path):
    """Reads plain text, a sentence a line, as transcripts of those that say how they are spoken."""
    with open(path, encoding="utf-8") as file:
        transcripts = [kc.text.english_transcript(line) for line in file]
    return [transcript for transcript in transcripts if transcript]


def learn_text(model, sentences, epochs=2, batch_size=64, longest=64):
    """Trains a transducer's predictor as a language model."""
    tokens = sorted((model.tokenizer.encode(s)[:longest] for s in sentences), key=len)
    groups = [tokens[i : i + batch_size] for i in range(0, len(tokens), batch_size)]

    def batches():
        random.Random(0).shuffle(groups)
        for group in groups:
            padded = keras.utils.pad_sequences(group, padding="post", value=-1)
            yield padded, padded

    spec = tf.TensorSpec((None, None), tf.int32)
    data = tf.data.Dataset.from_generator(batches, output_signature=(spec, spec))
    language_model = PredictorLanguageModel(model.predictor, model.joiner)
    schedule = WarmupCosineSchedule(3e-3, min(200, len(groups)), epochs * len(groups))
    language_model.compile(
        kc.optimizers.FusedAdam(schedule, beta_2=0.98, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1),
    )
    language_model.fit(data, epochs=epochs, verbose=2)


def run_stage(model, folder, plan, dev, epochs, schedule, augmentation):
    """Trains for some epochs, and returns the model of the best."""
    model.compile(
        kc.optimizers.FusedAdam(
            schedule,
            beta_2=0.98,
            global_clipnorm=2.0,
            use_ema=True,
            # Averages of a short stage must have forgotten what it began with.
            ema_momentum=min(0.999, 1 - 10 / max(epochs * len(plan), 20)),
        ),
        metrics=[kc.metrics.WordErrorRate(model.tokenizer)],
    )
    train(
        model,
        lambda *start: dataset_from_plan(plan, augment=augmentation, start=start, repeat=True),
        folder,
        epochs,
        dev,
        plan=plan,
    )
    return type(model).from_preset(folder / "preset", load_weights=True)


def main():
    """Runs the five stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("runs/small_en"))
    parser.add_argument(
        "--text", type=Path, help="sentences to learn the language from, one a line"
    )
    parser.add_argument("--noise", type=Path, help="folder of recordings to mix in")
    parser.add_argument("--reverberation", action="store_true", help="put a fifth into rooms")
    parser.add_argument("--batch-seconds", type=float, default=60.0)
    parser.add_argument(
        "--epochs",
        type=int,
        nargs=5,
        default=(6, 20, 1, 10, 2),
        metavar=("SHORT", "CTC", "FROZEN", "TRANSDUCER", "REAL"),
    )
    parser.add_argument("--vocabulary-size", type=int, default=256, help="word pieces")
    parser.add_argument("--warmup", type=int, default=300, help="steps to the peak learning rate")
    parser.add_argument(
        "--bfloat16-products", action="store_true", help="faster on CPUs that have bfloat16"
    )
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    kc.layers.set_product_dtype("bfloat16" if arguments.bfloat16_products else None)

    utterances = [u for manifest in arguments.manifests for u in read_manifest(manifest)]
    dev = [u for u in utterances if u.split == "dev"]
    real = [u for u in utterances if u.split not in ("dev", "synthetic")]
    everything = 2 * real + [u for u in utterances if u.split == "synthetic"]
    augmentation = [SpeedPerturbation((0.88, 0.94, 1.0, 1.06, 1.12))]
    if arguments.reverberation:
        augmentation.append(Reverberate(probability=0.2))
    if arguments.noise is not None:
        augmentation.append(AddNoise(arguments.noise, probability=0.3))

    def stage(model, name, utterances, epochs, peak, max_duration=17):
        batch_seconds = arguments.batch_seconds
        plan = EpochPlan(
            utterances,
            tokenizer,
            batch_seconds=batch_seconds,
            shuffle=True,
            max_duration=max_duration,
        )
        # The learning rate is nothing at the end.
        schedule = WarmupCosineSchedule(peak, arguments.warmup, epochs * len(plan))
        validation = make_dataset(dev, tokenizer, batch_seconds=batch_seconds, bucket=True)
        folder = arguments.folder / name
        return run_stage(model, folder, plan, validation, epochs, schedule, augmentation)

    tokenizer = kc.text.train_sentencepiece(
        [u.text for u in real], vocabulary_size=arguments.vocabulary_size
    )
    epochs = arguments.epochs
    ctc = stage(make_ctc_model(tokenizer), "short", everything, epochs[0], 1e-3, max_duration=6)
    ctc = stage(with_augmenter(ctc), "ctc", everything, epochs[1], 1e-3)
    model = make_transducer(ctc)
    if arguments.text is not None and not (arguments.folder / "frozen").exists():
        learn_text(model, read_sentences(arguments.text))
    model.encoder.trainable = False
    model = stage(model, "frozen", real, epochs[2], 2e-3)
    model.encoder.trainable = True
    model = stage(model, "transducer", everything, epochs[3], 7e-4)
    # Masks have taught what they can by now; hours at the end are worth more without them.
    model = kc.ContextNet.from_preset(
        arguments.folder / "transducer" / "preset",
        load_weights=True,
        augmenter=kc.layers.VocalTractPerturbation(name="augmenter"),
    )
    stage(model, "real", real, epochs[4], 2e-4)
    model = kc.ContextNet.from_preset(
        arguments.folder / "real" / "preset",
        load_weights=True,
        augmenter=make_augmenter(),  # for whoever trains it further
        beam_width=4,
    )
    model.save_to_preset(arguments.folder / "small_en", half_precision=True)


if __name__ == "__main__":
    main()
