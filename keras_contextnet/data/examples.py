"""The recordings that come with the package."""

from __future__ import annotations

from pathlib import Path

from keras_contextnet.data.manifest import Utterance, read_manifest

PACKAGE = Path(__file__).parent.parent
# In a wheel, and in a checkout.
FOLDERS = (PACKAGE / "assets" / "audio", PACKAGE.parent / "examples" / "audio")


def example_utterances() -> list[Utterance]:
    """Returns ten utterances of read English, 2 to 5 seconds each, with their texts.

    They are LibriSpeech's, CC BY 4.0: `README.md` beside them says whose.

    Returns:
        A list of `Utterance`.

    Example:

    ```python
    from keras_contextnet.data import example_utterances

    print(len(example_utterances()))  # 10
    ```
    """
    folder = next(folder for folder in FOLDERS if folder.is_dir())
    return read_manifest(folder / "manifest.jsonl")
