"""keras-contextnet presets: the models there are."""

from __future__ import annotations

from keras_contextnet_cli.session import session


def presets() -> None:
    """List the presets: the names that MODEL and --preset take.

    Example: keras-contextnet presets
    """
    with session():
        from rich.console import Console
        from rich.table import Table

        from keras_contextnet import ContextNet

        table = Table("preset", "description")
        for name, description in ContextNet.presets.items():
            table.add_row(name, description)
        Console().print(table)
