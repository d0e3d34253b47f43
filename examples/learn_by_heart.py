"""Trains a small ContextNet on ten utterances, evaluates it, exports it, and runs the LiteRT file.

    pip install ".[litert,plot]"
    python examples/learn_by_heart.py

The model starts from random weights and learns the ten recordings by heart, in about two minutes on
two cores. That shows every part at work; a model for speech that it has not heard takes hours
of recordings, and the same calls.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's messages at start-up

import keras
from rich.console import Console
from rich.table import Table

import keras_contextnet as kc
from keras_contextnet.training import train

MANIFEST = Path(__file__).parent / "audio" / "manifest.jsonl"


class StopAtNoErrors(keras.callbacks.Callback):
    """Ends training when the validation word error rate is 0."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = logs["val_wer"] == 0


def make_model(tokenizer):
    """A ContextNet of five blocks, where the paper has 23; one output frame is 80 ms too."""
    outputs = tokenizer.vocabulary_size + 1  # and the blank
    return kc.ContextNet(
        encoder=kc.ContextNetEncoder(
            blocks=[
                {"filters": 96, "num_convs": 1, "residual": False},
                {"filters": 96, "num_convs": 2, "strides": 2},
                {"filters": 96, "num_convs": 2, "strides": 2},
                {"filters": 128, "num_convs": 2, "strides": 2},
                {"filters": 160, "num_convs": 1, "residual": False},
            ]
        ),
        predictor=kc.Predictor(outputs, embedding_size=64, units=128),
        joiner=kc.Joiner(outputs, units=128),
        tokenizer=tokenizer,
    )


def main():
    """Runs the whole path from recordings to a file for phones."""
    parser = argparse.ArgumentParser(description="Trains, evaluates, exports and runs ContextNet.")
    parser.add_argument("folder", nargs="?", default="runs/learn_by_heart", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder, console = arguments.folder, Console()
    keras.utils.set_random_seed(arguments.seed)

    utterances = kc.data.read_manifest(MANIFEST)
    tokenizer = kc.text.CharacterTokenizer()
    model = make_model(tokenizer)
    model.compile(
        optimizer=keras.optimizers.Adam(kc.schedules.TransformerSchedule(3e-3, warmup_steps=60)),
        metrics=[kc.metrics.WordErrorRate(tokenizer)],
    )
    console.rule(f"Training {model.count_params():,} parameters on {len(utterances)} utterances")
    train(
        model,
        # Every epoch goes ten times over the recordings.
        kc.data.make_dataset(10 * utterances, tokenizer, batch_size=5, shuffle=True),
        folder,
        epochs=40,
        validation_data=kc.data.make_dataset(utterances, tokenizer, batch_size=10),
        callbacks=[StopAtNoErrors()],
    )

    console.rule("Exporting to LiteRT and running the file")
    exported = folder / "asr.tflite"
    model.export(exported, format="litert", verify=utterances)
    transcriber = kc.litert.Transcriber(exported)  # by NumPy and the LiteRT runtime alone
    waveforms = [kc.data.load_audio(utterance.audio) for utterance in utterances]
    references = [utterance.text for utterance in utterances]
    results = {
        "Keras": model.transcribe(waveforms),
        "LiteRT": [transcriber.transcribe(waveform).text for waveform in waveforms],
    }

    table = Table("Reference", *results, show_lines=True)
    for row in zip(references, *results.values(), strict=True):
        table.add_row(*row)
    console.print(table)
    for name, texts in results.items():
        errors = kc.metrics.word_errors(references, texts)
        console.print(
            f"{name}: WER {errors.rate:.1%} of {errors.length} words: {errors.substitutions} "
            f"substitutions, {errors.deletions} deletions, {errors.insertions} insertions"
        )
    console.print(f"LiteRT file: {exported}, {exported.stat().st_size / 1e6:.1f} MB")
    console.print(f"Model: {folder / 'preset'}, loss curve: {folder / 'curve.png'}")


if __name__ == "__main__":
    main()
