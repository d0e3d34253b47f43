import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_contextnet as kc
from keras_contextnet.training import Distribution, FiniteSteps, distribute, train

sys.path.insert(0, str(Path(__file__).parent))
import distributed_run

SCRIPT = Path(distributed_run.__file__)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    distributed_run.write_recordings(folder)
    return folder


@pytest.fixture(scope="module")
def one_device(recordings, tmp_path_factory):
    return distributed_run.run(recordings, tmp_path_factory.mktemp("one"), Distribution())


def start(*arguments, **variables):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    path = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", **variables}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def result_of(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def assert_same(result, expected, devices=2):
    assert result["devices"] == devices
    np.testing.assert_allclose(result["losses"], expected["losses"], rtol=1e-5)
    assert result["history"].keys() == expected["history"].keys()
    for name, values in expected["history"].items():
        np.testing.assert_allclose(result["history"][name][-1], values[-1], rtol=1e-5)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for number in sockets:
        number.bind(("127.0.0.1", 0))
    ports = [number.getsockname()[1] for number in sockets]
    for number in sockets:
        number.close()
    return ports


@pytest.mark.tensorflow_only
def test_two_replicas_learn_what_one_device_does(recordings, one_device, tmp_path):
    """Batch norm, unequal lengths, a last batch of one utterance; and an interruption."""
    result = result_of(start(recordings, tmp_path, 5))
    assert_same(result, one_device)


@pytest.mark.tensorflow_only
def test_two_workers_learn_what_one_process_does(recordings, one_device, tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        folder = tmp_path / str(index)
        processes.append(start(recordings, folder, TF_CONFIG=json.dumps(config)))
    for process in processes:
        assert_same(result_of(process), one_device)
    assert {path.name for path in (tmp_path / "0").iterdir()} >= {"preset", "history.csv"}
    assert not (tmp_path / "1").exists()


@pytest.mark.jax_only
def test_two_jax_devices_learn_what_one_does(recordings, one_device, tmp_path):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    result = result_of(start(recordings, tmp_path, 5, XLA_FLAGS=flags))
    assert_same(result, one_device)


def test_a_plan_is_for_a_number_of_devices(recordings):
    utterances = kc.data.read_manifest(recordings / "manifest.jsonl")
    plan = kc.data.EpochPlan(utterances, kc.text.CharacterTokenizer(), devices=2)
    message = r"Expected a `plan` for 1 devices: EpochPlan\(\.\.\., devices=1\)\. Received: .*=2"
    with pytest.raises(ValueError, match=message):
        Distribution().dataset(plan)


def test_distribute_takes_what_there_is():
    distribution = distribute()
    assert distribution.devices >= 1
    with distribution.scope():
        pass


def test_hosts_that_do_not_agree_are_told(monkeypatch, tmp_path, make_contextnet):
    model = make_contextnet()
    model.compile("adam")
    monkeypatch.setattr("keras_contextnet.training.run.gather", lambda number: [number, number + 4])
    message = r"Expected .* to be the same on every host.*after \[0, 4\] steps"
    with pytest.raises(ValueError, match=message):
        train(model, None, tmp_path, epochs=1)


@pytest.mark.tensorflow_only
def test_a_strategy_of_one_device_takes_steps_and_skips_them():
    """As `--distribute` makes on a host without a second device."""
    with distribute().scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        model.compile(FiniteSteps(keras.optimizers.SGD(0.1)), "mse", jit_compile=False)
    before = model.get_weights()[0]
    x = np.array([[1.0, 2.0], [np.nan, 1.0]], "float32")
    model.fit(x, np.ones((2, 1)), batch_size=1, shuffle=False, verbose=0)
    after = model.get_weights()[0]
    error = x[:1] @ before - 1.0
    np.testing.assert_allclose(after, before - 0.1 * 2 * error * x[:1].T, rtol=1e-5)
    assert int(keras.ops.convert_to_numpy(model.optimizer.skipped)) == 1
