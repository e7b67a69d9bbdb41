"""``nvidia-smi topo -m``: which devices of one host have NVLinks to each other, and which NICs are near them.

::

            GPU0    GPU1    NIC0    CPU Affinity    NUMA Affinity   GPU NUMA ID
    GPU0     X      NV18    PIX     0-51            0               N/A
    GPU1    NV18     X      SYS     52-103          1               N/A

    NIC Legend:

      NIC0: mlx5_0

``NV18`` is 18 NVLinks; PIX, PXB, PHB, NODE and SYS are ways over PCIe, nearest first. The table names no product and
no speed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from topologies.importers.findings import Findings, Notes, counted, listed
from topologies.importers.machine import Machine, Nic, Slot
from topologies.importers.source import Source

MAX_COLUMNS = 1024
_NEAR = {"PIX": 0, "PXB": 1, "PHB": 2}
_LINK = re.compile(r"X|NV\d{1,3}|PIX|PXB|PHB|PSB|NODE|SYS|SOC")
_GPU = re.compile(r"GPU(\d{1,4})")
_NIC = re.compile(r"NIC\d{1,4}|[a-z]\w*_\w+|ib\w+|ens?\w+")
_LEGEND = re.compile(r"\s*(NIC\d{1,4}):\s*(\S{1,100})\s*")


@dataclass
class Matrix:
    """The table: the names of its columns, the cells of each row, and the NUMA node of each device."""

    columns: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    legend: dict[str, str] = field(default_factory=dict)
    coherent: bool | None = None

    @property
    def devices(self) -> list[str]:
        """Names of the device columns."""
        return [name for name in self.columns if name.startswith("GPU")]

    def links(self, here: str, there: str) -> int | None:
        """NVLinks between two devices as the row of the first says; None where that row is missing."""
        cell = self.rows.get(here, {}).get(there)
        return None if cell is None else int(cell[2:]) if cell.startswith("NV") else 0


def read(source: Source, host: str) -> Findings:
    """One machine from the table.

    Raises
    ------
    BadInput: a row that does not fit the table; names its line.
    """
    notes = Notes()
    matrix = _matrix(source, notes)
    missing = [name for name in matrix.devices if name not in matrix.rows]
    if missing:
        notes.fault(f"{source.name}: no row for {listed(missing, 8)}; the other rows tell of their links")
    slots = tuple(_slot(matrix, name) for name in matrix.devices)
    if odd := _disagreeing(matrix):
        which = f"rows disagree on the NVLinks of {counted(len(odd), 'pair')}"
        notes.fault(f"{source.name}: {which}; the lower number is taken: {listed(odd)}")
    nics = tuple(Nic(_called(matrix, name)) for name in matrix.columns if not _GPU.fullmatch(name))
    machine = Machine(host, slots, nics, hint=source.stem, coherent=matrix.coherent)
    return Findings(
        source.name, "nvidia-smi-topo", (machine,), faults=tuple(notes.faults), assumptions=tuple(notes.assumptions)
    )


def _matrix(source: Source, notes: Notes) -> Matrix:
    matrix, rows = Matrix(), list[tuple[int, str, list[str], list[str]]]()
    for number, line in source.lines():
        cells = line.split()
        links = _leading_links(cells[1:])
        if _is_header(cells):
            matrix.columns = matrix.columns or _header(source, number, cells)
        elif cells and links and (_GPU.fullmatch(cells[0]) or _NIC.fullmatch(cells[0])):
            rows.append((number, cells[0], links, cells[1 + len(links) :]))
        elif cells and _GPU.fullmatch(cells[0]):
            raise source.error(number, f"the row of {cells[0]} holds no links")
        elif found := _LEGEND.fullmatch(line):
            matrix.legend[found[1]] = found[2]
    if not any(_GPU.fullmatch(name) for _, name, _, _ in rows):
        raise source.error(source.last_line, "the table ends without a row of any device (GPU0 X NV18 ...)")
    if not matrix.columns:
        matrix.columns = _guessed(source, rows, notes)
    for number, name, links, rest in rows:
        _add_row(source, matrix, number, name, links)
        if _GPU.fullmatch(name) and len(rest) >= 3:
            matrix.coherent = bool(matrix.coherent) or rest[2].isdigit()
    return matrix


def _is_header(cells: list[str]) -> bool:
    """Whether a line heads the columns: a device name that no link follows."""
    return bool(cells) and bool(_GPU.fullmatch(cells[0])) and (len(cells) < 2 or not _LINK.fullmatch(cells[1]))


def _header(source: Source, number: int, cells: list[str]) -> list[str]:
    end = next((index for index, cell in enumerate(cells) if cell in ("CPU", "NUMA")), len(cells))
    names = cells[:end]
    if len(set(names)) < len(names) or len(names) > MAX_COLUMNS:
        raise source.error(number, f"the head of the table names {len(names)} columns, some twice or too many")
    odd = [name for name in names if not _GPU.fullmatch(name) and not _NIC.fullmatch(name)]
    if odd:
        raise source.error(number, f"the head of the table names {odd[0][:40]!r}, neither a device nor a NIC")
    return names


def _leading_links(cells: list[str]) -> list[str]:
    count = next((index for index, cell in enumerate(cells) if not _LINK.fullmatch(cell)), len(cells))
    return cells[:count]


def _guessed(source: Source, rows: list[tuple[int, str, list[str], list[str]]], notes: Notes) -> list[str]:
    """Columns of a table without its head: up to the last NVLink they are devices, the rest NICs."""
    width = len(rows[0][2])
    shown = (
        index
        for _, name, links, _ in rows
        for index, cell in enumerate(links)
        if _GPU.fullmatch(name) and (cell == "X" or cell.startswith("NV"))
    )
    last = max(shown, default=0)
    notes.assume(
        f"{source.name}: the head of the table is missing; columns 1 to {last + 1} are taken for devices, "
        f"the other {width - last - 1} for NICs"
    )
    return [f"GPU{index}" if index <= last else f"NIC{index - last - 1}" for index in range(width)]


def _add_row(source: Source, matrix: Matrix, number: int, name: str, links: list[str]) -> None:
    if name not in matrix.columns:
        raise source.error(number, f"the row of {name[:40]} has no column")
    if name in matrix.rows:
        raise source.error(number, f"the row of {name[:40]} stands twice")
    if len(links) != len(matrix.columns):
        raise source.error(number, f"the row of {name[:40]} has {len(links)} links for {len(matrix.columns)} columns")
    cells = dict(zip(matrix.columns, links, strict=True))
    if [column for column, cell in cells.items() if cell == "X"] != [name]:
        raise source.error(number, f"the row of {name[:40]} must hold X in its own column and nowhere else")
    matrix.rows[name] = cells


def _disagreeing(matrix: Matrix) -> list[str]:
    """Pairs of devices whose rows say different numbers of NVLinks."""
    return [
        f"{a}-{b}"
        for a, b in itertools.combinations(matrix.devices, 2)
        if a in matrix.rows and b in matrix.rows and matrix.links(a, b) != matrix.links(b, a)
    ]


def _slot(matrix: Matrix, name: str) -> Slot:
    peers: dict[str, int] = {}
    for other in matrix.devices:
        said, mirrored = matrix.links(name, other), matrix.links(other, name)
        counts = [count for count in (said, mirrored) if count is not None]
        if other != name and counts:
            peers[other.lower()] = min(counts)
    return Slot(name=name.lower(), peers=peers, nics=_nearest(matrix, name))


def _nearest(matrix: Matrix, name: str) -> tuple[str, ...] | None:
    """NICs at the shortest distance, if that is within the PCIe host bridge; None where the row is missing."""
    row: Mapping[str, str] | None = matrix.rows.get(name)
    if row is None:
        return None
    reach = {nic: _NEAR[cell] for nic, cell in row.items() if not _GPU.fullmatch(nic) and cell in _NEAR}
    best = min(reach.values(), default=0)
    return tuple(_called(matrix, nic) for nic, distance in reach.items() if distance == best)


def _called(matrix: Matrix, name: str) -> str:
    return matrix.legend.get(name, name)
