"""Checked access to a parsed config: every value is bounded, every complaint names file and key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solver.errors import BadFile, BadInput, UnknownArchitecture
from solver.llm.config.spelling import OTHERS

MAX_LAYERS = 4096
MAX_SIZE = 1 << 24
"""Most that any width, head count, vocabulary or expert count may be; the largest in use is a vocabulary near 2^18."""
MAX_CONTEXT = 1 << 40
MAX_ENTRIES = 1 << 17
"""Most entries of a list; quantisation files list one module per entry."""


class Config:
    """A JSON object from a config, with the place it came from.

    Parameters
    ----------
    values: the object.
    where: file name for messages.
    path: keys that lead to this object inside the file.
    from_file: whether complaints are about a file (BadFile) or about an argument (BadInput).
    defaults: what the published implementation takes where the file has none of a key's spellings.
    assumed: defaults that were taken, filled as values are asked for; shared by the views of one config.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        where: str,
        path: str = "",
        from_file: bool = True,
        defaults: Mapping[str, Any] | None = None,
        assumed: dict[str, Any] | None = None,
    ) -> None:
        self.values, self.where, self.path, self.from_file = values, where, path, from_file
        self.defaults: Mapping[str, Any] = defaults or {}
        self.assumed: dict[str, Any] = {} if assumed is None else assumed
        self._lists: dict[str, list[Any]] = {}
        self._sections: dict[str, Config] = {}
        self._layers: dict[int, Config] = {}

    def view(self, changes: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Config:
        """Return this object with some values changed, and other defaults if they are given."""
        kept = self.defaults if defaults is None else defaults
        return Config({**self.values, **changes}, self.where, self.path, self.from_file, kept, self.assumed)

    def at_layer(self, layer: int) -> Config:
        """Return what holds for one layer: ``per_layer_config`` may change values by the layer's number."""
        found = self.section("per_layer_config")
        if found is None:
            return self
        if layer not in self._layers:
            names = [name for name in found.values if str(name).isdecimal() and int(name) == layer]
            changed = found.section(names[0]) if names else None
            self._layers[layer] = self.view(changed.values) if changed else self
        return self._layers[layer]

    def spelled(self, key: str) -> str:
        """Return the spelling of this key that the file has; the key itself where it has none, or null under it."""
        if self.values.get(key) is None:
            for other in OTHERS.get(key, ()):
                if self.values.get(other) is not None:
                    return other
        return key

    def raw(self, key: str) -> Any:
        """Return the value under any spelling of this key, or its default; None where there is neither."""
        spelling = self.spelled(key)
        if spelling in self.values:
            return self.values[spelling]
        default = self.defaults.get(key)
        if default is not None and default is not False:
            self.assumed[key] = default
        return default

    def has(self, key: str) -> bool:
        """Whether there is a value that is not null, in the file or by default."""
        return self.raw(key) is not None

    def told(self, key: str) -> bool:
        """Whether the file itself has a value that is not null."""
        return self.values.get(self.spelled(key)) is not None

    def bad(self, key: str, message: str) -> BadInput:
        """Return the error for a value that makes no sense."""
        return (BadFile if self.from_file else BadInput)(f"{self.where}: {self.path}{key} {message}")

    def missing(self, *keys: str) -> UnknownArchitecture:
        """Return the error for keys without which the architecture cannot be told."""
        needed = ", ".join(self.path + key for key in keys)
        return UnknownArchitecture(
            f"{self.where}: its architecture cannot be told without {needed}; add them as the published config has them"
        )

    def count(
        self, key: str, default: int | None = None, low: int = 1, high: int = MAX_SIZE, layer: int | None = None
    ) -> int:
        """Return an integer between ``low`` and ``high``; ``default`` where the key is absent or null.

        Where ``layer`` is given the value may be a list with an entry per layer.
        """
        value = self.raw(key)
        if value is None:
            if default is None:
                raise self.missing(key)
            return default
        name = self.spelled(key)
        if layer is not None and isinstance(value, list | tuple):
            if layer >= len(value):
                raise self.bad(name, f"must have an entry per layer; it has {len(value)}")
            name, value = f"{name}[{layer}]", value[layer]
        if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_CONTEXT:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.bad(name, f"must be an integer, not {show(value)}")
        if not low <= value <= high:
            raise self.bad(name, f"must be between {low} and {high}, not {show(value)}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean."""
        value = self.raw(key)
        if value is None:
            return default
        if value in (0, 1) and isinstance(value, int):
            return bool(value)
        if not isinstance(value, bool):
            raise self.bad(key, f"must be true or false, not {show(value)}")
        return value

    def text(self, key: str, default: str = "") -> str:
        """Return a string."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.bad(key, f"must be a string, not {show(value)}")
        return value

    def section(self, key: str) -> Config | None:
        """Return the object under this key; None where it is absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.bad(key, f"must be an object, not {show(value)}")
        return self._sections.setdefault(
            key, Config(value, self.where, f"{self.path}{printable(key)}.", self.from_file)
        )

    def integers(self, key: str, length: int | None = None, high: int = MAX_SIZE) -> list[int]:
        """Return a list of integers from 0 to ``high``, of this length if one is given; empty where absent."""
        found = self._checked(key, length, lambda v: type(v) is int and 0 <= v <= high, f"integers from 0 to {high}")
        if len(found) > 2 * MAX_LAYERS:
            raise self.bad(key, f"must have at most {2 * MAX_LAYERS} entries, not {len(found)}")
        return found

    def strings(self, key: str, length: int | None = None) -> list[str]:
        """Return a list of strings, of this length if one is given; empty where absent."""
        return self._checked(key, length, lambda v: isinstance(v, str), "known strings")

    def _checked(self, key: str, length: int | None, fits: Any, expected: str) -> list[Any]:
        if key in self._lists:
            return self._lists[key]
        value = self.raw(key)
        if value is None:
            value = []
        elif not isinstance(value, list | tuple):
            raise self.bad(key, f"must be a list, not {show(value)}")
        elif length is not None and not length <= len(value) <= length + self._drafting(key):
            raise self.bad(key, f"must have {length} entries, one per layer, not {len(value)}")
        elif len(value) > MAX_ENTRIES:
            raise self.bad(key, f"must have at most {MAX_ENTRIES} entries, not {len(value)}")
        for index, item in enumerate(value):
            if not fits(item):
                raise self.bad(f"{key}[{index}]", f"must be one of the {expected}, not {show(item)}")
        self._lists[key] = list(value)
        return self._lists[key]

    def _drafting(self, key: str) -> int:
        """Entries that a list per layer may have for the multi-token-prediction layers too."""
        value = None if key == "num_nextn_predict_layers" else self.raw("num_nextn_predict_layers")
        return value if isinstance(value, int) and 0 <= value <= 64 else 0


def printable(text: str, most: int = 60) -> str:
    """Return a key or path as a message can hold it: one line, not too long."""
    short = text if len(text) <= most else f"{text[: most - 3]}..."
    return short if short.isprintable() else ascii(short)


def show(value: object) -> str:
    """Return a value as a message can hold it: one short line, whatever it is."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
