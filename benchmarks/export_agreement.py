"""Do Keras, SavedModel and LiteRT give the same token ids? Counts the utterances that agree.

    python benchmarks/export_agreement.py small examples/audio/manifest.jsonl --batch-size 1 8
    python benchmarks/export_agreement.py my_preset_folder dev.jsonl --split dev --batch-size 1 8

The reference is Keras, one utterance at a time. A preset without weights gets random ones, drawn
with --seed, whose joiner is scaled so that tokens follow the audio and mix with blanks.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_contextnet
from keras_contextnet.data import load_audio, read_manifest
from keras_contextnet.metrics import word_errors
from keras_contextnet.models.paper_presets import PRESETS

CALIBRATION = 32  # recordings
NAMED = 5  # as many that differ are named
Transcribe = Callable[[np.ndarray, np.ndarray], dict]


def main() -> None:
    arguments = _parse()
    keras.utils.set_random_seed(arguments.seed)
    model = keras_contextnet.ContextNet.from_preset(arguments.preset)
    utterances = read_manifest(arguments.manifest, split=arguments.split)[: arguments.limit]
    waveforms = [load_audio(u.audio) for u in utterances]
    if arguments.preset in PRESETS:
        spread_logits(model, waveforms[0])

    # Calibrated on recordings that are not compared, where the manifest has others.
    others = [u for u in read_manifest(arguments.manifest) if u.split != arguments.split]
    calibration = [load_audio(u.audio) for u in (others or utterances)[:CALIBRATION]]
    runtimes = {"Keras": _keras(model), **_exported(model, calibration)}
    reference = list(_decode(runtimes["Keras"], waveforms, 1))
    counts = [len(tokens) for tokens in reference]
    seconds = sum(map(len, waveforms)) / 16000
    print(f"{len(waveforms)} utterances, {seconds:.0f} s, {sum(counts)} tokens of Keras alone")
    print(f"tokens an utterance: {min(counts)} to {max(counts)}")
    for batch_size in arguments.batch_size:
        for name, transcribe in runtimes.items():
            start = time.perf_counter()
            decoded = list(_decode(transcribe, waveforms, batch_size))
            took = time.perf_counter() - start
            differ = [
                utterance.id
                for utterance, a, b in zip(utterances, reference, decoded, strict=True)
                if a != b
            ]
            changed = word_errors(_as_words(reference), _as_words(decoded)).rate
            few = 0 < len(differ) <= NAMED
            print(
                f"batch {batch_size}, {name}: {len(decoded) - len(differ)} of {len(decoded)} agree,"
                f" {changed:.2%} of the tokens changed ({took:.0f} s)"
                f"{': not ' + ', '.join(differ) if few else ''}",
                flush=True,
            )


def spread_logits(model: keras_contextnet.ContextNet, waveform: np.ndarray) -> None:
    """Scales random weights so that frames and tokens move the logits, and blanks win at times."""
    joiner, predictor = model.joiner, model.predictor
    tokens = np.random.default_rng(0).integers(0, model.blank_id, (1, 200))
    frames = model.predict_on_batch({"audio": waveform[None]})["encoder_output"]
    for layer, inputs in (
        (joiner.encoder_projection, frames),
        (joiner.predictor_projection, predictor(tokens)),
    ):
        outputs = keras.ops.convert_to_numpy(layer(inputs))  # (1, time, units)
        scale = 1.0 / outputs.std(axis=1).mean()
        layer.kernel.assign(layer.kernel * scale)
        layer.bias.assign(-scale * outputs.mean(axis=(0, 1)))
    logits = keras.ops.convert_to_numpy(
        joiner(frames, predictor(tokens[:, :20]))
    )  # (1, T, 21, vocabulary)
    bias = np.zeros(joiner.vocabulary_size, "float32")
    bias[model.blank_id] = np.median(logits.max(axis=-1) - logits[..., model.blank_id])
    joiner.output_projection.bias.assign(bias)


def _keras(model: keras_contextnet.ContextNet) -> Transcribe:
    def transcribe(audio: np.ndarray, audio_length: np.ndarray) -> dict:
        return model.predict_on_batch({"audio": audio, "audio_length": audio_length})

    return transcribe


def _exported(
    model: keras_contextnet.ContextNet, calibration: list[np.ndarray]
) -> dict[str, Transcribe]:
    folder = Path(tempfile.mkdtemp())
    model.export(folder / "saved_model", format="tf_saved_model")
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    signature = loaded.signatures["transcribe"]

    def saved_model(audio: np.ndarray, audio_length: np.ndarray) -> dict:
        outputs = signature(audio=tf.constant(audio), audio_length=tf.constant(audio_length))
        return {name: value.numpy() for name, value in outputs.items()}

    saved_model.keep_alive = loaded
    return {
        "SavedModel": saved_model,
        "LiteRT": _litert(model, folder / "float32.tflite"),
        "LiteRT float16": _litert(model, folder / "float16.tflite", quantization="float16"),
        "LiteRT dynamic_int8": _litert(
            model, folder / "dynamic_int8.tflite", quantization="dynamic_int8"
        ),
        "LiteRT int8": _litert(
            model, folder / "int8.tflite", quantization="int8", calibration=calibration
        ),
    }


def _litert(model: keras_contextnet.ContextNet, path: Path, **options: Any) -> Transcribe:
    model.export(path, format="litert", **options)
    runner = Interpreter(str(path), num_threads=1).get_signature_runner("transcribe")
    return lambda audio, audio_length: runner(audio=audio, audio_length=audio_length)


def _as_words(rows: list[list[int]]) -> list[str]:
    return [" ".join(map(str, tokens)) for tokens in rows]


def _decode(
    transcribe: Transcribe, waveforms: list[np.ndarray], batch_size: int
) -> Iterator[list[int]]:
    for start in range(0, len(waveforms), batch_size):
        batch = waveforms[start : start + batch_size]
        audio_length = np.array([len(waveform) for waveform in batch], np.int32)
        audio = np.zeros((len(batch), audio_length.max()), np.float32)
        for row, waveform in zip(audio, batch, strict=True):
            row[: len(waveform)] = waveform
        outputs = transcribe(audio, audio_length)
        for row, count in zip(outputs["tokens"], outputs["token_length"], strict=True):
            yield row[:count].tolist()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", help="a preset's name or folder")
    parser.add_argument("manifest", help="a JSON-lines manifest")
    parser.add_argument("--split", help="only utterances of this split")
    parser.add_argument("--limit", type=int, help="only the first so many utterances")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
