import pytest

from keras_contextnet.atomic_write import new_file, new_folder


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "missing" / "notes.txt"
    with new_file(path) as new:
        new.write_text("first")
        assert not path.exists()
    with new_file(path) as new:
        new.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    with new_file(tmp_path / "new"):
        pass
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("first")
    with pytest.raises(TypeError), new_file(path) as new:
        new.write_text(0)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole(tmp_path):
    folder = tmp_path / "missing" / "notes"
    with new_folder(folder) as new:
        (new / "a").touch()
        assert not folder.exists()
    with new_folder(folder) as new:
        (new / "b").touch()
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert list(folder.parent.iterdir()) == [folder]


def test_an_error_keeps_the_old_folder(tmp_path):
    folder = tmp_path / "notes"
    (folder / "a").mkdir(parents=True)
    with pytest.raises(FileNotFoundError), new_folder(folder) as new:
        (new / "missing" / "b").touch()
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [folder]
