"""Our LiteRT file of the preset `small` beside TensorFlowASR's TFLite file of the same ContextNet.

    python benchmarks/litert_peer.py --python PEER/bin/python --peer FOLDER --keep FILES

PEER is an environment with tensorflowasr 3.1.1, FOLDER has its configuration of ContextNet with
alpha 0.5, `small.json`. Both packages get random weights whose blank's bias lets them emit about
four tokens a second, and transcribe the same 10 s of noise. The files run in turn, --rounds times,
each in a process of its own with one thread. With --keep the peer's file is converted once. Each
token costs a step of our predictor; the peer's takes one for each frame as well.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TOKENS_PER_SECOND = 4.0
OURS = {"ours, float32": "none", "ours, dynamic_int8": "dynamic_int8"}
PEER = "TensorFlowASR"


def main() -> None:
    arguments = _parse()
    from litert import synthetic_audio

    from keras_contextnet.litert.measure import measure

    waveform = synthetic_audio()
    with tempfile.TemporaryDirectory() as folder:
        audio = Path(folder) / "audio.npy"
        np.save(audio, waveform)
        files = export_ours(Path(folder), waveform)
        keep = arguments.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        peer, record = keep / "tensorflowasr.tflite", keep / "tensorflowasr.json"
        if not record.exists():  # written last
            converted = run_peer(arguments.python, "convert", arguments.peer, peer, audio)
            record.write_text(json.dumps(converted), encoding="utf-8")
        costs = {name: [] for name in [*files, PEER]}
        for _ in range(arguments.rounds):
            # In a process of its own: once, then five times for the median.
            for name, (path, _) in files.items():
                costs[name].append(vars(measure(path, waveform, num_threads=1)))
            costs[PEER].append(run_peer(arguments.python, "measure", peer, audio))
        files[PEER] = peer, json.loads(record.read_text(encoding="utf-8"))["seconds"]
        print_table(files, costs)


def export_ours(folder: Path, waveform: np.ndarray) -> dict[str, tuple[Path, float]]:
    """Returns each file and the seconds that its conversion took."""
    import keras
    from litert import export, set_token_rate

    import keras_contextnet

    keras.utils.set_random_seed(0)
    model = keras_contextnet.ContextNet.from_preset("small")
    set_token_rate(model, waveform, TOKENS_PER_SECOND)
    files = {}
    for name, quantization in OURS.items():
        path, start = folder / f"{quantization}.tflite", time.perf_counter()
        export(model, path, quantization, waveform)
        files[name] = path, time.perf_counter() - start
    return files


def print_table(files: dict[str, tuple[Path, float]], costs: dict[str, list[dict]]) -> None:
    print("| file | MB | converted in s | tokens | real-time factor | range | / ours |")
    print("|---|---|---|---|---|---|---|")
    ours = None
    for name, (path, seconds) in files.items():
        factors = [cost["real_time_factor"] for cost in costs[name]]
        median = statistics.median(factors)
        ours = ours or median
        print(
            f"| {name} | {path.stat().st_size / 1e6:.1f} | {seconds:.0f} "
            f"| {costs[name][0]['tokens']} | {median:.4f} "
            f"| {min(factors):.4f} to {max(factors):.4f} | {median / ours:.2f} |"
        )


def run_peer(python: str, task: str, *parameters: str | Path) -> dict[str, Any]:
    """Runs a task of this file in the peer's environment and returns what it found."""
    command = [python, __file__, "--in-peer", task, *map(str, parameters)]
    apart = {**os.environ, "PYTHONPATH": ""}  # which may lead to packages of this environment
    done = subprocess.run(command, capture_output=True, text=True, env=apart)
    if done.returncode:
        raise RuntimeError(f"Expected {task} to run with {python}. Received: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def convert_in_peer(folder: str, output: str, audio: str) -> dict[str, float]:
    """Builds the peer's model and converts it as its command line does."""
    from tensorflow_asr.configs import DecoderConfig
    from tensorflow_asr.models.transducer.contextnet import ContextNet
    from tensorflow_asr.tokenizers import WordPieceTokenizer
    from tensorflow_asr.utils import app_util, env_util

    env_util.setup_cpu()
    env_util.setup_seed(0)
    config = json.loads((Path(folder) / "small.json").read_text(encoding="utf-8"))
    pieces = ["<blank>", "<unk>", *(f"p{index}" for index in range(config["vocab_size"] - 2))]
    vocabulary = Path(output).with_suffix(".txt")
    vocabulary.write_text("\n".join(pieces), encoding="utf-8")
    tokenizer = WordPieceTokenizer(DecoderConfig({"vocabulary": str(vocabulary)}))
    tokenizer.make()
    model = ContextNet(**config)
    model.tokenizer = tokenizer
    model.make(batch_size=1)
    set_token_rate_in_peer(model, np.load(audio)[None])
    start = time.perf_counter()
    app_util.convert_tflite(model, output=output, batch_size=1)
    return {"seconds": time.perf_counter() - start}


def set_token_rate_in_peer(model: Any, waveform: np.ndarray) -> None:
    """Scales random weights and finds the blank's bias, as for ours."""
    import tensorflow as tf
    from tensorflow_asr.schemas import PredictInput

    length = tf.constant([waveform.shape[1]])
    features, frames = model.feature_extraction((waveform, length), training=False)
    # With the statistics that normalization starts from, frames would vanish on the way.
    for layer in model.encoder._flatten_layers():
        if hasattr(layer, "moving_mean"):
            layer.momentum = 0.0  # one pass of training sets them
    model.encoder((features, frames), training=True)
    encoded, _, _ = model.encoder.call_next(features, frames, [])
    tokens = tf.constant(np.random.default_rng(0).integers(1, 1000, (1, 200)), tf.int32)
    predicted, _ = model.predict_net((tokens, tf.constant([200])), training=False)
    joint = model.joint_net
    for layer, inputs in ((joint.ffn_enc, encoded), (joint.ffn_pred, predicted)):
        outputs = layer(inputs).numpy()  # (1, time, units)
        scale = 1.0 / outputs.std(axis=1).mean()
        layer.kernel.assign(layer.kernel * scale)
        layer.bias.assign(-scale * outputs.mean(axis=(0, 1)))
    blank = np.eye(1, joint.ffn_out.bias.shape[0], model.blank)[0]
    start = (model.get_initial_tokens(), [], model.get_initial_decoder_states())
    recognize = tf.function(lambda: model.recognize(PredictInput(waveform, length, *start)).tokens)
    for bias in np.arange(4.0, 0.0, -0.1):
        joint.ffn_out.bias.assign(bias * blank)
        if np.count_nonzero(recognize()) >= TOKENS_PER_SECOND * waveform.shape[1] / 16000:
            break


def measure_in_peer(path: str, audio: str) -> dict[str, float]:
    """Does as `keras_contextnet.litert.measure`, with the operators that the peer's file needs."""
    import tensorflow_text
    from tensorflow.lite.python.interpreter import InterpreterWithCustomOps

    waveform = np.load(audio)[None]
    length = np.array([waveform.shape[1]], np.int32)
    text_operators = tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS
    interpreter = InterpreterWithCustomOps(text_operators, model_path=path, num_threads=1)
    # In the order of its signature: audio, its length, the last token, the predictor's states.
    inputs = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])
    interpreter.resize_tensor_input(inputs[0]["index"], waveform.shape, strict=True)
    interpreter.allocate_tensors()
    zeros = [np.zeros(detail["shape"], detail["dtype"]) for detail in inputs[2:]]
    times = []
    for _ in range(6):
        start = time.perf_counter()
        for detail, value in zip(inputs, [waveform, length, *zeros], strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    # Of the outputs transcript, tokens, last token, states; the blank, 0, follows the last token.
    outputs = sorted(interpreter.get_output_details(), key=lambda detail: detail["name"])
    return {
        "tokens": int(np.count_nonzero(interpreter.get_tensor(outputs[1]["index"]))),
        "real_time_factor": statistics.median(times[1:]) * 16000 / waveform.shape[1],
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="of the peer's environment")
    parser.add_argument("--peer", type=Path, required=True, help="the folder of small.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="a folder for the peer's file, made if absent")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-peer"]:
        task = {"convert": convert_in_peer, "measure": measure_in_peer}[sys.argv[2]]
        print(json.dumps(task(*sys.argv[3:])))
    else:
        main()
