"""Runs every Python example of the docstrings, the README and the docs."""

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
SOURCES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "keras_contextnet").rglob("*.py")),
]


def _examples():
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text[: match.start()].count("\n") + 2
            indent = match["indent"]
            code = re.sub(f"^{indent}", "", match["code"], flags=re.MULTILINE)
            name = f"{path.relative_to(ROOT)}:{line}"
            yield pytest.param("\n" * (line - 1) + code, name, id=name)


@pytest.mark.parametrize(("code", "name"), _examples())
def test_example_runs(code, name, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    # Some examples begin with a file that people download from NVIDIA: here a small one takes its
    # place.
    checkpoint = ROOT / "tests" / "interop" / "nemo_files" / "aggregate.nemo"
    (tmp_path / "stt_en_contextnet_256.nemo").symlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, name, "exec"), {"__name__": "__main__"})


def test_every_public_class_and_function_has_an_example():
    import keras_contextnet as kc

    for module in (kc, kc.layers, kc.losses, kc.metrics, kc.schedules, kc.decoding, kc.models):
        for public in getattr(module, "__all__", []):
            documented = getattr(module, public)
            if callable(documented):
                assert "```python" in (documented.__doc__ or ""), f"{module.__name__}.{public}"
