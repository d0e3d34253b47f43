"""The presets whose weights are part of the package."""

from pathlib import Path

TRAINED_PRESETS: dict[str, str] = {
    "small_en": "6.8 M parameters, trained on 299 hours of read English, most of it synthetic: a "
    "first version, which gets 19% of the words of new speakers wrong."
}


def trained_preset_folder(name: str) -> Path:
    """Returns the preset folder of a key of `TRAINED_PRESETS`."""
    return Path(__file__).parents[1] / "assets" / name
