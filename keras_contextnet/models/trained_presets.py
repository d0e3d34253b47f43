"""The presets whose weights are part of the package."""

from pathlib import Path

TRAINED_PRESETS: dict[str, str] = {}


def trained_preset_folder(name: str) -> Path:
    """Returns the preset folder of a key of `TRAINED_PRESETS`."""
    return Path(__file__).parents[1] / "assets" / name
