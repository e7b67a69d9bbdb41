"""``rocm-smi --showtopo`` and ``amd-smi topology``, as text or JSON: which devices of one host XGMI joins.

::

    =============================== Link Type between two GPUs ===============================
           GPU0         GPU1
    GPU0   0            XGMI
    GPU1   XGMI         0

``amd-smi`` heads its tables LINK TYPE TABLE, HOPS TABLE, ... and names devices by their PCI address. A pair is joined
where its link type is XGMI and it is one hop; neither tool names a product or a NIC, but a report around it may.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from topologies.importers.findings import Findings, Notes
from topologies.importers.machine import Machine, Slot
from topologies.importers.plain import parse_json
from topologies.importers.reports import reported
from topologies.importers.source import Source

MAX_DEVICES = 256
_TITLES = {"link type": "type", "hops": "hops"}
_TITLE = re.compile(
    r"^[=\s]*(Weight|Hops|Link Type|Access|Link Accessibility|Numa Nodes|[A-Z][A-Za-z/ -]*) between two GPUs[=\s]*$"
)
_AMD_TITLE = re.compile(r"^\s*([A-Z][A-Z -]{2,40}) TABLE:?\s*$")
_NAME = r"GPU\d{1,4}|[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F]"
_ROW = re.compile(rf"(?:{_NAME})")
_PAIR = re.compile(r"\(Topology\) (Link type|Hops) between DRM devices (\d{1,3}) and (\d{1,3})", re.I)


@dataclass
class Tables:
    """Link types and hops of pairs of devices, and the devices in order."""

    devices: dict[str, None] = field(default_factory=dict)
    type: dict[tuple[str, str], str] = field(default_factory=dict)
    hops: dict[tuple[str, str], str] = field(default_factory=dict)

    def joined(self, a: str, b: str) -> bool:
        """Whether a link of its own joins two devices."""
        pairs = ((a, b), (b, a))
        kinds = [self.type[pair].upper() for pair in pairs if pair in self.type]
        return "XGMI" in kinds and all(self.hops.get(pair, "1") == "1" for pair in pairs)


def read(source: Source, host: str) -> Findings:
    """One machine from the tables.

    Raises
    ------
    BadInput: no table of link types; names the line.
    """
    tables, notes = Tables(), Notes()
    if source.text.lstrip()[:1] in "[{":
        _from_json(source, tables)
    else:
        _from_text(source, tables)
    if not tables.type:
        raise source.error(source.last_line, "the file ends without a table of link types between devices")
    if len(tables.devices) > MAX_DEVICES:
        raise source.error(source.last_line, f"the tables name more than {MAX_DEVICES} devices")
    names = {device: f"gpu{number}" for number, device in enumerate(tables.devices)}
    products = reported(source)
    slots = tuple(
        Slot(
            name=name,
            product=products.get(number, ""),
            peers={there: int(tables.joined(device, other)) for other, there in names.items() if other != device},
        )
        for number, (device, name) in enumerate(names.items())
    )
    machine = Machine(host, slots, hint=source.stem, links="XGMI")
    return Findings(source.name, "rocm-topo", (machine,), assumptions=tuple(notes.assumptions))


def _from_text(source: Source, tables: Tables) -> None:
    table: dict[tuple[str, str], str] | None = None
    columns: list[str] = []
    for number, line in source.lines():
        cells = line.split()
        if title := _TITLE.match(line) or _AMD_TITLE.match(line):
            name = _TITLES.get(title[1].strip().lower())
            table, columns = (None if name is None else getattr(tables, name)), []
        elif table is None or not cells:
            continue
        elif not columns and all(_ROW.fullmatch(cell) for cell in cells):
            columns = cells
        elif columns and _ROW.fullmatch(cells[0]):
            if len(cells) != len(columns) + 1 or cells[0] not in columns:
                raise source.error(
                    number, f"the row of {cells[0]} has {len(cells) - 1} cells for {len(columns)} columns"
                )
            tables.devices |= dict.fromkeys(columns)
            table |= {(cells[0], column): cell for column, cell in zip(columns, cells[1:], strict=True)}
        else:
            table = None


def _from_json(source: Source, tables: Tables) -> None:
    data = parse_json(source)
    if isinstance(data, dict):
        for key, value in (pair for part in data.values() if isinstance(part, dict) for pair in part.items()):
            if (found := _PAIR.search(str(key))) and isinstance(value, str | int):
                pair = f"GPU{int(found[2])}", f"GPU{int(found[3])}"
                (tables.type if found[1].lower() == "link type" else tables.hops)[pair] = str(value)
        pairs = sorted({int(name[3:]) for pair in tables.type for name in pair})
        tables.devices |= dict.fromkeys(f"GPU{number}" for number in pairs)
    entries = data if isinstance(data, list) else data.get("topology", []) if isinstance(data, dict) else []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            _add_entry(entry, tables)


def _add_entry(entry: dict[str, Any], tables: Tables) -> None:
    """One device of ``amd-smi topology --json`` with its links."""
    name = f"GPU{entry.get('gpu')}"
    links = entry.get("links")
    if not isinstance(links, list) or not _ROW.fullmatch(name):
        return
    tables.devices[name] = None
    for link in links:
        there = f"GPU{link.get('gpu')}" if isinstance(link, dict) else ""
        if _ROW.fullmatch(there) and there != name:
            tables.type[name, there] = str(link.get("link_type", ""))
            tables.hops[name, there] = str(link.get("num_hops", 1))
