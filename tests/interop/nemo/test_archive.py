import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_contextnet.interop.nemo import NemoFileError
from keras_contextnet.interop.nemo.archive import read_nemo

FILES = {"model_config.yaml": b"a: 1\n", "model_weights.ckpt": b"weights", "v.model": b"pieces"}


@pytest.fixture
def write(tmp_path, writer):
    def write(content):
        path = tmp_path / "model.nemo"
        path.write_bytes(content if isinstance(content, bytes) else writer.nemo_bytes(content))
        return path

    return write


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_reads_plain_and_gzipped_archives(mode, prefix, write, writer):
    assert read_nemo(write(writer.nemo_bytes(FILES, mode, prefix))) == FILES


def test_folders_links_and_files_in_folders_are_left_out(write):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for name in ("../outside", "/etc/passwd", "folder/model_config.yaml", *FILES):
            member = tarfile.TarInfo(name)
            member.size = len(FILES.get(name, b""))
            archive.addfile(member, io.BytesIO(FILES.get(name, b"")))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            link = tarfile.TarInfo(f"link_{kind.decode()}")
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
    assert read_nemo(write(buffer.getvalue())) == FILES


@pytest.mark.parametrize("missing", ["model_config.yaml", "model_weights.ckpt"])
def test_a_missing_member_is_named(missing, write):
    rest = {name: content for name, content in FILES.items() if name != missing}
    with pytest.raises(NemoFileError, match=rf"model\.nemo to hold {missing}.*Received: \["):
        read_nemo(write(rest))


def test_a_member_that_says_it_is_huge_is_refused_before_it_is_read(write):
    member = tarfile.TarInfo("model_config.yaml")
    member.size = 2**40
    with pytest.raises(NemoFileError, match=r"at most 16777216 bytes. Received: 1099511627776"):
        read_nemo(write(member.tobuf() + bytes(2048)))


def test_a_bomb_of_gzip_is_refused(write, writer):
    """100 MB of zeros in 100 KB."""
    bomb = {"model_config.yaml": bytes(100 * 2**20)}
    with pytest.raises(NemoFileError, match="at most 16777216 bytes"):
        read_nemo(write(writer.nemo_bytes(bomb, "w:gz")))


def test_two_members_of_one_name_are_refused(write):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for content in (b"a: 1\n", b"a: 2\n"):
            member = tarfile.TarInfo("model_config.yaml")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(NemoFileError, match="each file once, model_config"):
        read_nemo(write(buffer.getvalue()))


def test_too_many_members_are_refused(write):
    with pytest.raises(NemoFileError, match="at most 1000 files"):
        read_nemo(write({f"file_{index}": b"" for index in range(1001)}))


@pytest.mark.parametrize(
    "content", [b"", b"RIFF....WAVEfmt ", b"\x1f\x8b\x08 not gzip", b"PK\x03\x04"]
)
def test_other_files_are_an_error(content, write):
    with pytest.raises(NemoFileError, match=r"model\.nemo"):
        read_nemo(write(content))


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a \.nemo file\. Received: .*, which is missing"):
        read_nemo(tmp_path / "none.nemo")
    with pytest.raises(FileNotFoundError, match="which is a folder"):
        read_nemo(tmp_path)


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@given(data=st.data())
def test_truncated_files_are_an_error(mode, data, writer, tmp_path_factory):
    content = {**FILES, "model_weights.ckpt": bytes(range(256)) * 40}
    whole = writer.nemo_bytes(content, mode)
    length = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.mktemp("truncated") / "model.nemo"
    path.write_bytes(whole[:length])
    try:
        files = read_nemo(path)
    except NemoFileError:
        return
    # What is cut off can be the padding behind the last member, and nothing else.
    assert files == content
