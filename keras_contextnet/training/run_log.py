"""The log of a run: dated lines in a file, warnings to whoever watches."""

from __future__ import annotations

import contextlib
import datetime
import warnings
from collections.abc import Iterator
from pathlib import Path


class RunLog:
    """Writes dated lines to a file; a file that cannot be written ends no run.

    Args:
        path: of the file, which is continued if it is there.
        silent: bool. Whether to write nothing and warn of nothing: another process does.

    Example:

    ```python
    from keras_contextnet.training.run_log import RunLog

    log = RunLog("runs/log_example/train.log")
    log.line("epoch 1/10  loss 97.1")
    with log.warns_where_not_written("history.csv"):
        raise OSError(28, "No space left on device")
    ```
    """

    def __init__(self, path: str | Path, silent: bool = False) -> None:
        self.path, self.silent = Path(path), silent

    def line(self, text: str) -> None:
        """Adds a line to the file."""
        if self.silent:
            return
        now = datetime.datetime.now().isoformat(sep=" ", timespec="seconds")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{now}  {text}\n")

    def warn(self, text: str) -> None:
        """Adds a line to the file and warns."""
        if self.silent:
            return
        self.line(f"warning: {text}")
        warnings.warn(text, stacklevel=3)

    @contextlib.contextmanager
    def warns_where_not_written(self, what: str) -> Iterator[None]:
        """Turns an error of writing into a warning that names it."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            # HDF5 reports a full disk while it closes a file as a RuntimeError.
            if isinstance(error, RuntimeError) and "errno = " not in str(error):
                raise
            self.warn(f"Could not write {what}: {error}. What was there stays; training goes on.")
