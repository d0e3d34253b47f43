"""How far a converted NeMo checkpoint is from what NeMo itself computes.

    python benchmarks/nemo_agreement.py CHECKPOINT.nemo [--speech FOLDER]

Beside the checkpoint lies CHECKPOINT.npz with NeMo's audio, features, blocks, encoder output,
prediction network, logits and tokens. FOLDER holds recordings and corpus.txt, their texts a line
each. `tests/interop/nemo_files` has checkpoints to try it on.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_contextnet as kc


def difference(ours, theirs, lengths):
    """Largest difference within each utterance; NeMo's have channels before time."""
    theirs = theirs.transpose(0, 2, 1)
    rows = [np.abs(np.asarray(ours)[i, :n] - theirs[i, :n]).max() for i, n in enumerate(lengths)]
    return float(max(rows))


def compare_numbers(model, inputs, reference):
    """Prints the largest difference at every stage."""
    x, mask = model.extract_features(inputs)
    print(f"features   {difference(x, reference['features'], reference['features_len']):.1e}")
    worst = 0.0
    for index, block in enumerate(model.encoder.blocks):
        x = block(x, mask=mask)
        mask = block.compute_mask(None, mask)
        lengths = np.asarray(mask).sum(axis=1)
        worst = max(worst, difference(x, reference[f"block_{index:02d}"], lengths))
    print(f"blocks     {worst:.1e} (the worst of {len(model.encoder.blocks)})")
    print(f"encoder    {difference(x, reference['encoded'], reference['encoded_len']):.1e}")
    predicted = model.predictor(reference["targets"])
    print(f"predictor  {difference(predicted, reference['pred'], [None] * len(predicted)):.1e}")
    logits = np.asarray(model.joiner(x, predicted))
    rows = [
        np.abs(logits[i, :n] - reference["joint_logits"][i, :n]).max()
        for i, n in enumerate(reference["encoded_len"])
    ]
    print(f"logits     {max(rows):.1e}")


def tokens_of(outputs):
    """Tokens as lists, one an utterance."""
    return [
        row[:length].tolist()
        for row, length in zip(
            np.asarray(outputs["tokens"]), np.asarray(outputs["token_length"]), strict=True
        )
    ]


def runtimes(model, folder):
    """Yields what runs the model: itself, its preset, its SavedModel and its LiteRT file."""
    yield "Keras", lambda inputs: model.predict(inputs, verbose=0)
    model.save_to_preset(folder / "preset")
    preset = kc.ContextNet.from_preset(folder / "preset", load_weights=True)
    yield "preset", lambda inputs: preset.predict(inputs, verbose=0)
    model.export(folder / "saved_model")
    loaded = tf.saved_model.load(folder / "saved_model")
    yield (
        "SavedModel",
        lambda inputs: loaded.signatures["transcribe"](
            **{name: tf.constant(value) for name, value in inputs.items()}
        ),
    )
    model.export(folder / "asr.tflite", format="litert")
    litert = Interpreter(str(folder / "asr.tflite")).get_signature_runner("transcribe")
    yield "LiteRT", lambda inputs: litert(**inputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--speech", type=Path)
    arguments = parser.parse_args()
    model = kc.ContextNet.from_nemo(arguments.checkpoint)
    with np.load(arguments.checkpoint.with_suffix(".npz")) as arrays:
        reference = dict(arrays)
    lengths = reference["audio_len"].astype("int32")
    inputs = {"audio": reference["audio"], "audio_length": lengths}
    compare_numbers(model, inputs, reference)
    waveforms, texts = [], []
    if arguments.speech:
        texts = (arguments.speech / "corpus.txt").read_text(encoding="utf-8").splitlines()
        rate = model.frontend.sample_rate
        waveforms = [kc.data.load_audio(p, rate) for p in sorted(arguments.speech.glob("*.wav"))]
        exact = sum(a == b for a, b in zip(model.transcribe(waveforms), texts, strict=True))
        print(f"batches    {exact} of {len(texts)} texts exact")
    expected = [reference[f"greedy_{row}"].tolist() for row in range(len(lengths))]
    with tempfile.TemporaryDirectory() as folder:
        for name, run in runtimes(model, Path(folder)):
            same = tokens_of(run(inputs)) == expected
            outputs = [
                run({"audio": waveform[None], "audio_length": np.array([len(waveform)], "int32")})
                for waveform in waveforms
            ]
            spoken = [model.tokenizer.decode(tokens_of(output)[0]) for output in outputs]
            exact = sum(a == b for a, b in zip(spoken, texts, strict=True))
            print(
                f"{name:<10} tokens {'identical' if same else 'DIFFER'}"
                + (f"; alone, {exact} of {len(texts)} texts exact" if texts else "")
            )


if __name__ == "__main__":
    main()
