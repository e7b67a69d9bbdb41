"""Attributes of other people's graphs in the words and the types of the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from topologies import units
from topologies.errors import BadInput
from topologies.importers.findings import Notes, listed
from topologies.importers.source import Source
from topologies.schema import FABRICS, KINDS, LINK_ATTRIBUTES, VERTEX_ATTRIBUTES, Attribute

_VERTEX_NAMES = {"type": "kind", "role": "kind", "model": "device", "product": "device", "memory": "dram_bytes"}
_LINK_NAMES = {
    "type": "fabric",
    "bandwidth": "bandwidth_bytes_per_s",
    "speed": "bandwidth_bytes_per_s",
    "latency": "latency_s",
}
_KINDS = {
    "gpu": "device",
    "accelerator": "device",
    "tpu": "device",
    "server": "host",
    "node": "host",
    "compute": "host",
    "leaf": "switch",
    "spine": "switch",
    "router": "switch",
    "disk": "storage",
}
_FABRICS = {"nvlink": "scale_up", "ib": "scale_out", "infiniband": "scale_out", "ethernet": "scale_out"}
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_READERS: dict[str, Callable[[float | int | str], float]] = {
    "bytes": units.size,
    "bytes/s": units.bandwidth,
    "s": units.seconds,
}


@dataclass(frozen=True)
class AttributeRecord:
    """One vertex or link of a file: its name or both its ends, its attributes, and where it stands."""

    names: tuple[str, ...]
    values: Mapping[str, Any]
    line: int | None = None
    place: str = "at"

    def says(self, what: str) -> str:
        """The start of a message about it."""
        return f"{self.place} {' - '.join(self.names)[:100]!r}: {what}"


@dataclass
class Dictionary:
    """Translates records, and remembers what it renamed, dropped and derived."""

    source: Source
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, None] = field(default_factory=dict)
    derived: dict[str, int] = field(default_factory=dict)

    def vertex(self, record: AttributeRecord) -> dict[str, Any]:
        """Attributes of a vertex; it must say its kind."""
        values = self._named(record, _VERTEX_NAMES, VERTEX_ATTRIBUTES)
        values["kind"] = self._choice(record, "kind", values.get("kind"), _KINDS, KINDS)
        return self._read(record, values, VERTEX_ATTRIBUTES, values["kind"])

    def link(self, record: AttributeRecord, otherwise: str) -> dict[str, Any]:
        """Attributes of a link; one that does not say its fabric is of the fabric given."""
        values = self._named(record, _LINK_NAMES, LINK_ATTRIBUTES)
        if values.get("fabric") in (None, ""):
            values["fabric"] = otherwise
            self.derive("fabric")
        values["fabric"] = self._choice(record, "fabric", values["fabric"], _FABRICS, FABRICS)
        return self._read(record, values, LINK_ATTRIBUTES, values["fabric"])

    def derive(self, what: str) -> None:
        """Count an attribute that follows from the ends of a link."""
        self.derived[what] = self.derived.get(what, 0) + 1

    def note(self, notes: Notes) -> None:
        """Say what was renamed, dropped and derived."""
        name = self.source.name
        if self.renamed:
            pairs = [f"{theirs} as {ours}" for theirs, ours in self.renamed.items()]
            notes.assume(f"{name}: attributes are read under other names: {listed(pairs, 8)}")
        if self.dropped:
            notes.assume(f"{name}: attributes that the schema lacks are left out: {listed(list(self.dropped), 8)}")
        for what, count in self.derived.items():
            notes.assume(f"{name}: the {what} of {count} links is not given and follows from their ends")

    def _named(self, record: AttributeRecord, theirs: Mapping[str, str], table: Mapping[str, Attribute]) -> dict[str, Any]:
        values = {key: value for key, value in record.values.items() if key in table}
        for key, value in record.values.items():
            ours = theirs.get(str(key).lower())
            if key not in table and ours and ours not in values:
                values[ours] = value
                self.renamed[str(key)[:40]] = ours
            elif key not in table:
                self.dropped[str(key)[:40]] = None
        return values

    def _choice(self, record: AttributeRecord, what: str, value: Any, theirs: Mapping[str, str], known: tuple[str, ...]) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        chosen = word if word in known else theirs.get(word, "")
        if not chosen:
            wrong = record.says(f"{what} is {value!r:.60}; it must be one of {', '.join(known)}")
            raise self.source.error(record.line, wrong)
        return chosen

    def _read(
        self, record: AttributeRecord, values: dict[str, Any], table: Mapping[str, Attribute], owner: str
    ) -> dict[str, Any]:
        """Values in the types of the schema, from strings where need be."""
        found: dict[str, Any] = {}
        for key, value in values.items():
            if owner not in table[key].owners or value is None or value == "":
                continue
            try:
                found[key] = _typed(value, table[key])
                if table[key].type == "name" and isinstance(found[key], str):
                    self.source.name_at(record.line, found[key])
            except (BadInput, KeyError, ValueError) as error:
                wrong = record.says(f"{key} is {value!r:.60}; it must be a {table[key].type}")
                raise self.source.error(record.line, wrong) from error
        return found


def _typed(value: Any, attribute: Attribute) -> Any:
    if attribute.type == "name":
        return str(value) if isinstance(value, str | int) else value
    if not isinstance(value, str):
        return value
    if attribute.type == "flag":
        return _FLAGS[value.strip().lower()]
    if attribute.type == "count list":
        return [int(part[:9]) for part in value.strip("[]() ").split(",") if part.strip()]
    return _READERS[attribute.unit](value)
