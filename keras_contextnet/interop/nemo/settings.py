"""The settings of a NeMo model, read with their types; an unsupported one is an error by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from keras_contextnet.interop.nemo.archive import NemoFileError

_REQUIRED = object()


def read_settings(data: bytes) -> Settings:
    """Reads a `model_config.yaml`.

    Raises:
        NemoFileError: for what is not a YAML file of sections; nothing in it is executed.
    """
    import yaml

    try:
        # Not the loader in C, which crashes the process where sections are nested too deep.
        values = yaml.load(data, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NemoFileError(
            f"Expected model_config.yaml to be plain YAML. It is not: {error}"
        ) from error
    if not isinstance(values, dict):
        raise NemoFileError(
            f"Expected model_config.yaml to hold sections. Received: {type(values).__name__}"
        )
    return Settings(values)


class Settings:
    """A section of `model_config.yaml`, which knows its dotted name.

    Args:
        values: dict from a setting's name to its value.
        name: str. The section's own name, such as "encoder.jasper[3]"; "" for the whole file.
    """

    def __init__(self, values: dict[str, Any], name: str = "") -> None:
        self._values = values
        self._name = name

    def name_of(self, key: str) -> str:
        """The dotted name of a setting."""
        return f"{self._name}.{key}" if self._name else key

    def __contains__(self, key: str) -> bool:
        """Whether the setting is there and not null."""
        return self._values.get(key) is not None

    def is_null(self, key: str) -> bool:
        """Whether the setting is there and null, which for some means off."""
        return key in self._values and self._values[key] is None

    def section(self, key: str, required: bool = True) -> Settings:
        """Returns a section; an empty one for a missing one that is not required."""
        value = self._get(key, _REQUIRED if required else {})
        if not isinstance(value, dict):
            raise self._wrong(key, "a section", value)
        return Settings(value, self.name_of(key))

    def sections(self, key: str) -> list[Settings]:
        """Returns a list of sections."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(key, "a list of sections", value)
        return [Settings(item, f"{self.name_of(key)}[{index}]") for index, item in enumerate(value)]

    def items(self) -> Iterator[tuple[str, Settings]]:
        """Yields the names and sections of a section of sections."""
        for key in self._values:
            yield str(key), self.section(key)

    def integer(self, key: str, default: Any = _REQUIRED, at_least: int = 1) -> int:
        """Returns an int, or the only one of a list."""
        value = self._get(key, default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise self._wrong(key, f"an integer of at least {at_least}", value)
        return value

    def number(self, key: str, default: Any = _REQUIRED, at_least: float = 0.0) -> float:
        """Returns a float; YAML reads 1e-5, without a point, as text."""
        value = self._get(key, default)
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self._wrong(key, "a number", value) from None
        if not at_least <= value < math.inf:
            raise self._wrong(key, f"a number of at least {at_least}", value)
        return value

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """Returns a str."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "text", value)
        return value

    def texts(self, key: str) -> list[str]:
        """Returns a list of str."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of texts", value)
        return value

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        """Returns a bool."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Returns a value of any type; the default for null."""
        return self._get(key, default)

    def require(self, key: str, default: Any, *supported: Any) -> Any:
        """Returns a value that is one of those supported."""
        value = self._get(key, default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value not in supported:
            raise self.unsupported(key, value, ", ".join(map(repr, supported)))
        return value

    def require_target(self, *supported: str) -> None:
        """Checks the class that a section configures; the first where it does not say."""
        target = self.text("_target_", supported[0])
        if target.rpartition(".")[2] not in supported:
            raise self.unsupported("_target_", target, " or ".join(supported))

    def unsupported(self, key: str, value: Any, supported: str) -> NemoFileError:
        """Returns the error of a setting that a ContextNet has not."""
        return NemoFileError(
            f"The setting {self.name_of(key)} is not supported as it is. Received: {value!r}. "
            f"Supported: {supported}."
        )

    def _get(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise NemoFileError(f"Expected the setting {self.name_of(key)}. It is missing.")
        return default

    def _wrong(self, key: str, expected: str, value: Any) -> NemoFileError:
        return NemoFileError(
            f"Expected the setting {self.name_of(key)} to be {expected}. Received: {value!r}"
        )
