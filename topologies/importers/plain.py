"""YAML and JSON as words, lists and tables that know their lines; nothing is ever constructed from a tag."""

from __future__ import annotations

import json
from typing import Any

from topologies.importers.source import Source

MAX_BYTES = 8 * 2**20
"""Largest YAML text that is read [letters]."""
MAX_DEPTH = 60
MAX_NODES = 300_000
"""Most values in a YAML file, each counted as often as aliases repeat it."""


class Word(str):
    """A scalar as it is spelled, so that host ``0101`` stays ``0101``."""

    line: int


class Items(list[Any]):
    """A list and the line where it starts."""

    line: int = 0


class LinedMapping(dict[str, Any]):
    """A mapping and the line where it starts."""

    line: int = 0


def line_of(value: object) -> int | None:
    """The line of a value; None for JSON, which keeps none."""
    return getattr(value, "line", None)


def parse_json(source: Source) -> Any:
    """The content of a JSON file.

    Raises
    ------
    BadInput: not JSON, nested too deeply, or a key that stands twice.
    """

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            double = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
            raise source.error(None, f"key {double!r:.100} stands twice in one object")
        return found

    try:
        return json.loads(source.text, object_pairs_hook=table)
    except json.JSONDecodeError as error:
        raise source.error(error.lineno, f"not JSON: {error.msg}") from error
    except RecursionError as error:
        raise source.error(None, "the JSON is nested too deeply") from error
    except ValueError as error:
        raise source.error(None, f"not JSON: {str(error)[:100]}") from error


def parse_yaml(source: Source) -> Any:
    """The content of a YAML file: words, lists and tables.

    Raises
    ------
    BadInput: not YAML, too large, nested too deeply, or repeating itself by aliases without measure.
    """
    import yaml

    if len(source.text) > MAX_BYTES:
        raise source.error(None, f"the YAML file is larger than {MAX_BYTES / 2**20:.0f} MiB, the most that is read")
    composer = _Composer(source)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(source.text, Loader=loader):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise source.error(mark.line + 1 if mark else None, f"not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise source.error(None, f"not YAML: {' '.join(str(error).split())[:100]}") from error
    return composer.result


class _Composer:
    """Values from the events of the YAML parser."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.result: Any = None
        self._open: list[tuple[Items | LinedMapping, str | None, int]] = []
        self._keys: list[Word | None] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        """Use one event."""
        kind, line = type(event).__name__, event.start_mark.line + 1
        if kind == "ScalarEvent":
            word = Word(event.value)
            word.line = line
            self._add(word, event.anchor, 1, line)
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            if len(self._open) >= MAX_DEPTH:
                raise self.source.error(line, f"the YAML file has more than {MAX_DEPTH} levels")
            inner: Items | LinedMapping = Items() if kind == "SequenceStartEvent" else LinedMapping()
            inner.line = line
            self._open.append((inner, event.anchor, self._count))
            self._keys.append(None)
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            closed, anchor, before = self._open.pop()
            self._keys.pop()
            self._add(closed, anchor, self._count - before + 1, closed.line)
        elif kind == "AliasEvent":
            if event.anchor not in self._anchors:
                raise self.source.error(line, f"alias *{event.anchor} names no anchor before it")
            value, size = self._anchors[event.anchor]
            self._count += size - 1
            self._add(value, None, size, line)
        elif kind == "DocumentStartEvent" and self.result is not None:
            raise self.source.error(line, "the YAML file holds several documents; one is read")

    def _add(self, value: Any, anchor: str | None, size: int, line: int) -> None:
        """Put a finished value where it belongs."""
        self._count += 1
        if self._count > MAX_NODES:
            raise self.source.error(line, f"the YAML file stands for more than {MAX_NODES:,} values")
        if anchor:
            self._anchors[anchor] = value, size
        if not self._open:
            self.result = value
            return
        inside = self._open[-1][0]
        if isinstance(inside, Items):
            inside.append(value)
        elif self._keys[-1] is None:
            self._keys[-1] = self._key(value, inside, line)
        else:
            inside[self._keys[-1]] = value
            self._keys[-1] = None

    def _key(self, value: Any, inside: LinedMapping, line: int) -> Word:
        if not isinstance(value, Word):
            raise self.source.error(line, "a key is a list or a mapping; it must be a word")
        if value in inside:
            raise self.source.error(line, f"key {value!r:.100} stands twice in one mapping")
        return value
