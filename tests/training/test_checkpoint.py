import errno
import os
import subprocess

import keras
import numpy as np
import pytest

from keras_contextnet.training.checkpoint import CheckpointError, CheckpointFolder


@pytest.fixture
def variables():
    return [
        keras.Variable(np.arange(6, dtype="float32").reshape(2, 3)),
        keras.Variable([1.5, 2.5], dtype="bfloat16"),
        keras.Variable(7, dtype="int32"),
        keras.Variable([1, 2**32 - 1], dtype="uint32"),
    ]


def values(variables):
    return [keras.ops.convert_to_numpy(v).astype("float64").tolist() for v in variables]


def clear(variables):
    for variable in variables:
        variable.assign(np.zeros(variable.shape))


def test_restores_every_dtype_and_the_state(variables, tmp_path):
    checkpoints = CheckpointFolder(tmp_path / "checkpoints")
    assert checkpoints.restore(variables) == (None, [])
    before = values(variables)
    state = {"epoch": 2, "data": [2, 5], "best": None}
    checkpoints.save(12, variables, state)
    clear(variables)
    assert checkpoints.restore(variables) == (state, [])
    assert values(variables) == before


def test_keeps_the_last_two(variables, tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    for step in (900, 1000, 10_000):
        checkpoints.save(step, variables, {"step": step})
    assert [path.name for path in checkpoints.paths()] == [
        "step-0000010000.npz",
        "step-0000001000.npz",
    ]
    checkpoints.save(950, variables, {"step": 950})  # of a run that was set back
    assert checkpoints.restore(variables)[0] == {"step": 950}


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text"])
def test_a_damaged_file_gives_way_to_the_one_before(damage, variables, tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    before = values(variables)
    checkpoints.save(1, variables, {"step": 1})
    clear(variables)
    checkpoints.save(2, variables, {"step": 2})
    newest = checkpoints.paths()[0]
    content = bytearray(newest.read_bytes())
    content[content.index(b"\x93NUMPY") + 140] ^= 1  # a bit of the first weight
    newest.write_bytes(
        {"cut": content[:-100], "bit": content, "empty": b"", "text": b"not a checkpoint"}[damage]
    )
    state, problems = checkpoints.restore(variables)
    assert state == {"step": 1}
    assert values(variables) == before
    assert len(problems) == 1
    assert newest.name in problems[0]

    checkpoints.paths()[1].write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-0000000002.*step-0000000001.*Remove"):
        checkpoints.restore(variables)


def test_another_model_is_an_error_that_names_the_difference(variables, tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.save(1, variables, {})
    other = [keras.Variable(np.zeros((2, 4), "float32"), name="kernel"), *variables[1:]]
    with pytest.raises(CheckpointError, match=r"kernel is \(2, 4\), was \(2, 3\)"):
        checkpoints.restore(other)
    with pytest.raises(CheckpointError, match=r"3 variables.*4 variables instead"):
        checkpoints.restore(variables[:3])


def test_a_write_that_fails_half_way_leaves_the_one_before(variables, tmp_path, monkeypatch):
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.save(1, variables, {"step": 1})

    def fill_the_disk(file, **arrays):
        file.write(b"half of a checkpoint")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(2, variables, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001.npz"]
    assert checkpoints.restore(variables) == ({"step": 1}, [])


def test_a_disk_that_is_full_leaves_the_one_before(variables, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a small disk")
    try:
        checkpoints = CheckpointFolder(disk / "checkpoints")
        large = [*variables, keras.Variable(np.ones(75_000, "float32"))]  # 300 kB
        checkpoints.save(1, large, {"step": 1})
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            checkpoints.save(2, large, {"step": 2})
        assert [path.name for path in checkpoints.folder.iterdir()] == ["step-0000000001.npz"]
        assert checkpoints.restore(large) == ({"step": 1}, [])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_a_killed_process_was_writing_is_removed(variables, tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.save(1, variables, {})
    (tmp_path / ".step-0000000002.npz-abc").write_bytes(b"half")
    checkpoints.remove_remains()
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001.npz"]
