"""``ibnetdiscover``: every switch, NIC and cable of an InfiniBand fabric.

::

    switchguid=0x0002c90300000001(2c90300000001)
    Switch  40 "S-0002c90300000001"   # "MF0;leaf-1:MQM9701/U1" enhanced port 0 lid 2 lmc 0
    [1]  "H-0002c90300000002"[1](2c90300000002)   # "node-1 mlx5_0" lid 5 4xNDR
    [33] "S-0002c90300000003"[7]                  # "MF0;spine-1:MQM9701/U1" lid 9 4xNDR

    caguid=0x2c90300000002
    Ca  1 "H-0002c90300000002"        # "node-1 mlx5_0"
    [1](2c90300000002)  "S-0002c90300000001"[1]   # lid 5 lmc 0 "MF0;leaf-1:MQM9701/U1" lid 2 4xNDR

Each switch of a SHARP fabric holds an aggregation node, which looks like a NIC; those are dropped, or every switch
would look like a leaf.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from topologies.importers.fabric import Fabric, Port, Trunk
from topologies.importers.findings import Findings, Notes, counted, listed
from topologies.importers.source import Source

_SECTION = re.compile(r'(Switch|Ca|Rt)\s+(\d{1,4})\s+"([SHR]-[0-9a-fA-F]{1,32})"\s*#\s*"([^"]*)".*')
_CABLE = re.compile(
    r"\[(\d{1,4})\](?:\[ext \d+\])?(?:\(([0-9a-fA-F]{1,32})\))?\s+"
    r'"([SHR]-[0-9a-fA-F]{1,32})"\[(\d{1,4})\](?:\[ext \d+\])?(?:\(([0-9a-fA-F]{1,32})\))?\s*#\s*(.*)'
)
_SPEED = re.compile(r"\b(\d{1,2})x(SDR|DDR|QDR|FDR10|FDR|EDR|HDR|NDR|XDR)\b")
_ATTRIBUTE = re.compile(r"(vendid|devid|sysimgguid|switchguid|caguid|rtguid)=(\S{1,60})")
_AGGREGATION_DEVICE = "0xcf09"
LANE_BITS_PER_S = {
    "SDR": 2e9,
    "DDR": 4e9,
    "QDR": 8e9,
    "FDR10": 10e9,
    "FDR": 13.64e9,
    "EDR": 25e9,
    "HDR": 50e9,
    "NDR": 100e9,
    "XDR": 200e9,
}
"""Data rate of one lane [bit/s], after line coding."""
_VENDOR_NAMES = re.compile(r"MT\d+ |.*Mellanox Technologies|.*Infiniband|.*ConnectX", re.IGNORECASE)
_NO_HOSTS = ("localhost", "localhost.localdomain", "(none)", "")
_SWITCH_NAME = re.compile(r"(?:MF0;)?([^:;]{1,100})(?::([^:;]*))?")


@dataclass
class Vertex:
    """A switch or a NIC: its description and the line of its section (0 while only others name it)."""

    guid: str
    description: str = ""
    line: int = 0
    device: str = ""

    @property
    def is_switch(self) -> bool:
        return not self.guid.startswith("H-")

    @property
    def is_aggregation(self) -> bool:
        return not self.is_switch and (
            "Aggregation Node" in self.description or self.device.lower() == _AGGREGATION_DEVICE
        )


@dataclass
class Dump:
    """The vertices by GUID, and the cables by both their ends; without sections each line tells of both ends."""

    vertices: dict[str, Vertex] = field(default_factory=dict)
    cables: dict[frozenset[tuple[str, str]], float] = field(default_factory=dict)
    has_sections: bool = True

    def vertex(self, guid: str) -> Vertex:
        return self.vertices.setdefault(guid, Vertex(guid))


def read(source: Source, host: str) -> Findings:
    """The fabric from a dump.

    Raises
    ------
    BadInput: a line that is none of the format, or a dump without cables between hosts and switches; names the line.
    """
    return findings_of(source, _dump(source), "ibnetdiscover")


def findings_of(source: Source, dump: Dump, kind: str) -> Findings:
    """The fabric of a dump, with what is missing in it noted.

    Raises
    ------
    BadInput: no cable from a host to a switch.
    """
    notes = Notes()
    names = _switch_names(dump)
    seen = Counter(guid for cable in dump.cables for guid, _ in cable)
    for vertex in dump.vertices.values():
        if vertex.is_switch and not vertex.line and dump.has_sections:
            known_from = f"it is known from {counted(seen[vertex.guid], 'cable')}"
            notes.fault(f"{source.name}: switch {names[vertex.guid]} has no section of its own; {known_from}")
    ports, trunks = _sorted_out(source, dump, names, notes)
    if not ports:
        raise source.error(source.last_line, f"the dump ends without a cable from a host to a switch{_left_off(dump)}")
    fabric = Fabric(tuple(names.values()), tuple(ports), tuple(trunks))
    return Findings(source.name, kind, fabric=fabric, faults=tuple(notes.faults), assumptions=tuple(notes.assumptions))


def _dump(source: Source) -> Dump:
    dump, here, device = Dump(), None, ""
    for number, text in source.lines():
        line = text.strip()
        if section := _SECTION.fullmatch(line):
            here = dump.vertex(section[3])
            if here.line:
                raise source.error(number, f"{here.guid} has a section on line {here.line} already")
            here.description, here.line, here.device = readable(section[4]), number, device
        elif cable := _CABLE.fullmatch(line):
            if here is None:
                raise source.error(number, "a port stands before the first Switch or Ca")
            _add_cable(source, number, dump, here, cable)
        elif attribute := _ATTRIBUTE.fullmatch(line):
            device = attribute[2] if attribute[1] == "devid" else device
        elif line and not line.startswith("#") and not line.startswith(("Chassis", "Spine", "Line", "DR path")):
            raise source.error(number, f"{line[:60]!r} is no line of ibnetdiscover")
    return dump


def _add_cable(source: Source, number: int, dump: Dump, here: Vertex, cable: re.Match[str]) -> None:
    speeds = _SPEED.findall(cable[6])
    if not speeds:
        raise source.error(number, f"port {cable[1]} of {here.guid} gives no speed such as 4xNDR")
    width, rate = speeds[-1]
    there = dump.vertex(cable[3])
    described = re.findall(r'"([^"]*)"', cable[6])
    there.description = there.description or (readable(described[-1]) if described else "")
    ends = frozenset({(here.guid, cable[1]), (there.guid, cable[4])})
    if len(ends) < 2:
        raise source.error(number, f"port {cable[1]} of {here.guid} leads to itself")
    bytes_per_s = int(width) * LANE_BITS_PER_S[rate] / 8
    dump.cables[ends] = min(bytes_per_s, dump.cables.get(ends, bytes_per_s))


def readable(description: str) -> str:
    return "".join(letter for letter in description[:200] if letter.isprintable())


def _switch_names(dump: Dump) -> dict[str, str]:
    """A name for each switch: that of its description, with unit and GUID only where needed to tell them apart."""
    found = {guid: _SWITCH_NAME.match(vertex.description) for guid, vertex in dump.vertices.items() if vertex.is_switch}
    short = {guid: name[1].strip() if name else guid for guid, name in found.items()}
    counts = Counter(short.values())
    long = {
        guid: f"{short[guid]}/{(name[2] or '').rpartition('/')[2]}" if name and counts[short[guid]] > 1 else short[guid]
        for guid, name in found.items()
    }
    again = Counter(long.values())
    return {guid: f"{name}/{guid}" if again[name] > 1 else name for guid, name in long.items()}


def _sorted_out(source: Source, dump: Dump, names: dict[str, str], notes: Notes) -> tuple[list[Port], list[Trunk]]:
    """Ports of hosts and links between switches; what is neither is noted."""
    ports: list[Port] = []
    trunks: dict[tuple[str, str], float] = {}
    dropped, nameless = set[str](), set[str]()
    for cable, bytes_per_s in dump.cables.items():
        inner, outer = sorted((dump.vertices[guid] for guid, _ in cable), key=lambda vertex: vertex.guid)
        if inner.is_switch:
            pair = names[inner.guid], names[outer.guid]
            trunks[pair] = trunks.get(pair, 0.0) + bytes_per_s
        elif inner.is_aggregation:
            dropped.add(inner.guid)
        elif not outer.is_switch:
            notes.fault(f"{source.name}: {inner.guid} and {outer.guid} are joined without a switch; left out")
        elif owner := _owner(inner.description):
            ports.append(Port(owner[0], owner[1], names[outer.guid], bytes_per_s, inner.guid[2:].lstrip("0").lower()))
        else:
            nameless.add(inner.guid)
    if dropped:
        notes.assume(f"{source.name}: SHARP aggregation nodes inside switches are left out ({len(dropped):,})")
    if nameless:
        some = listed(sorted(nameless), 3)
        notes.fault(
            f"{source.name}: left out {counted(len(nameless), 'NIC')} that the description gives no host ({some})"
        )
    return ports, [Trunk(a, b, bytes_per_s) for (a, b), bytes_per_s in trunks.items() if a != b]


def _owner(description: str) -> tuple[str, str] | None:
    """Host and NIC of a description such as ``node-1 mlx5_0``; None for a vendor's default."""
    host, _, nic = description.strip().partition(" ")
    if _VENDOR_NAMES.match(description) or host.lower() in _NO_HOSTS:
        return None
    return host[:100], nic.strip()[:60]


def _left_off(dump: Dump) -> str:
    """What stands in a dump that has no port of a host."""
    linked = {guid for cable in dump.cables for guid, _ in cable}
    unlinked = [vertex for vertex in dump.vertices.values() if vertex.line and vertex.guid not in linked]
    if not unlinked:
        return ""
    last = unlinked[-1]
    return f"; the section of {last.guid} ({last.description[:40]!r}) on line {last.line} lists no port"
