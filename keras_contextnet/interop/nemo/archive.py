"""A `.nemo` file: a tar archive of a configuration, weights and tokenizers."""

from __future__ import annotations

import os
import tarfile
import zlib
from pathlib import Path

CONFIG, WEIGHTS = "model_config.yaml", "model_weights.ckpt"
MAX_BYTES = {CONFIG: 16 * 2**20, WEIGHTS: 4 * 2**30}
MAX_OTHER_BYTES = 64 * 2**20
MAX_MEMBERS = 1000


class NemoFileError(ValueError):
    """A `.nemo` file that cannot be converted: broken, hostile, or of an unsupported model."""


def read_nemo(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Reads the files in a `.nemo` file into memory; nothing is extracted to disk.

    Args:
        path: of the file, a tar archive with or without gzip.

    Returns:
        The contents by name, less a leading `./`. Links, folders and files in folders are left
        out.

    Raises:
        FileNotFoundError: if there is no file at `path`.
        NemoFileError: for anything but such an archive, or one of absurd sizes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected `path` to be a .nemo file. Received: {path}, which is "
            f"{'a folder' if path.is_dir() else 'missing'}."
        )
    try:
        with tarfile.open(path, "r:*") as archive:
            files = _read_members(archive, path)
    except (tarfile.TarError, EOFError, OSError, zlib.error, UnicodeError, OverflowError) as error:
        raise NemoFileError(
            f"Expected {path} to be a .nemo file, a tar archive. It is truncated, corrupt or "
            f"something else: {str(error).splitlines()[0]}"
        ) from error
    for name in (CONFIG, WEIGHTS):
        if name not in files:
            raise NemoFileError(
                f"Expected {path} to hold {name}, as NeMo writes it. Received: {sorted(files)}"
            )
    return files


def _read_members(archive: tarfile.TarFile, path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for count, member in enumerate(archive):
        if count == MAX_MEMBERS:
            raise NemoFileError(f"Expected {path} to hold at most {MAX_MEMBERS} files.")
        name = member.name.removeprefix("./")
        if not member.isreg() or member.issparse() or "/" in name:
            continue
        limit = MAX_BYTES.get(name, MAX_OTHER_BYTES)
        if member.size > limit or name in files:
            raise NemoFileError(
                f"Expected {path} to hold each file once, {name} of at most {limit} bytes. "
                f"Received: {member.size} bytes{' more' if name in files else ''}"
            )
        content = archive.extractfile(member).read()
        if len(content) != member.size:
            raise NemoFileError(f"{path} is truncated within {name}.")
        files[name] = content
    return files
