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
from topologies.importers.reports import reported
from topologies.importers.source import Source

MAX_COLUMNS = 1024
_NEAR = {"PIX": 0, "PXB": 1, "PHB": 2}
_LINK = re.compile(r"X|NV\d{1,3}|PIX|PXB|PHB|PSB|NODE|SYS|SOC")
_GPU = re.compile(r"GPU(\d{1,4})")
_NIC = re.compile(r"NIC\d{1,4}|[a-z]\w*_\w+|ib\w+|en[spo]?\w+|eth\w+|rdma\w+|roce\w+|bond\w+")
_GLUED_NAME = re.compile(r"(?:GPU|NIC)\d{1,4}")
_GLUED_NAMES = re.compile(r"(?:(?:GPU|NIC)\d{1,4}){2,}")
_GLUED_LINKS = re.compile(rf"(?:{_LINK.pattern}){{2,}}")
_GLUED_AFFINITY = re.compile(r"(PIX|PXB|PHB|NODE|SYS|X)(\d[\d,-]*)")
MOST_GLUED = 200
"""Letters of one word that is looked at for cells in it."""
#: What `topo -p2p` says of a pair of devices.
_PEER_STATES = ("OK", "CNS", "GNS", "TNS", "NS", "DR", "U")
_PCIE_ONLY = re.compile(r"nvidia-smi\s+topo\s+(?:-mp|--matrix_pci)\b")
_PCIE_ONLY_FILE = re.compile(r"topo-?_?mp\b")
_LEGEND = re.compile(r"\s*(NIC\d{1,4}):\s*(\S{1,100})\s*")


@dataclass
class Matrix:
    """The table: the names of its columns, the cells of each row, and what the NICs are called.

    ``pcie_only``: it leaves NVLinks out, whatever there are.
    """

    columns: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    legend: dict[str, str] = field(default_factory=dict)
    coherent: bool | None = None
    pcie_only: bool = False

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
    products = reported(source)
    slots = tuple(_slot(matrix, name, products.get(number, "")) for number, name in enumerate(matrix.devices))
    if odd := _disagreeing(matrix):
        which = f"rows disagree on the NVLinks of {counted(len(odd), 'pair')}"
        notes.fault(f"{source.name}: {which}; the lower number is taken: {listed(odd)}")
    nics = tuple(Nic(_called(matrix, name)) for name in matrix.columns if not _GPU.fullmatch(name))
    machine = Machine(host, slots, nics, hint=source.stem, coherent=matrix.coherent)
    return Findings(
        source.name, "nvidia-smi-topo", (machine,), faults=tuple(notes.faults), assumptions=tuple(notes.assumptions)
    )


@dataclass
class _Table:
    """One table of a report as it stands there: its head, and number, name, links and other cells of its rows."""

    line: int = 0
    columns: list[str] = field(default_factory=list)
    rows: list[tuple[int, str, list[str], list[str]]] = field(default_factory=list)
    other: bool = False

    @property
    def is_matrix(self) -> bool:
        return not self.other and any(_GPU.fullmatch(name) for _, name, _, _ in self.rows)

    @property
    def shows_links(self) -> bool:
        return any(cell.startswith("NV") for _, _, links, _ in self.rows for cell in links)


def _matrix(source: Source, notes: Notes) -> Matrix:
    matrix, tables, strange = Matrix(), [_Table()], 0
    for number, line in source.lines():
        cells = _unglued(line.split())
        links = _leading_links(cells[1:])
        if _is_header(cells):
            tables.append(_Table(number, cells))
        elif cells and links and (_GPU.fullmatch(cells[0]) or _NIC.fullmatch(cells[0])):
            tables[-1].rows.append((number, cells[0], links, cells[1 + len(links) :]))
            tables[-1].other |= len(links) == 1 and len(cells) > 2 and cells[2] in _PEER_STATES
        elif cells and _GPU.fullmatch(cells[0]):
            tables[-1].other |= len(cells) > 1 and cells[1] in _PEER_STATES
            strange = strange or (0 if tables[-1].other else number)
        elif found := _LEGEND.fullmatch(line):
            matrix.legend[found[1]] = found[2]
    if strange:
        raise source.error(strange, "the row of a device holds no links")
    found_tables = [table for table in tables if table.is_matrix]
    if not found_tables:
        raise source.error(source.last_line, "the table ends without a row of any device (GPU0 X NV18 ...)")
    table = next((one for one in found_tables if one.shows_links), found_tables[0])
    if len(tables) > 2:
        notes.assume(
            f"{source.name}: the report holds several tables; the one on line {table.line or table.rows[0][0]} is read"
        )
    matrix.columns = (
        _header(source, table.line, table.columns) if table.columns else _guessed(source, table.rows, notes)
    )
    for number, name, links, rest in table.rows:
        _add_row(source, matrix, number, name, links)
        if _GPU.fullmatch(name) and len(rest) >= 3:
            matrix.coherent = bool(matrix.coherent) or rest[2].isdigit()
    if not table.shows_links and (_PCIE_ONLY.search(source.text) or _PCIE_ONLY_FILE.search(source.stem)):
        matrix.pcie_only = True
        notes.assume(f"{source.name}: `topo -mp` never shows NVLinks, so that the file does not tell of them")
    return matrix


def _unglued(cells: list[str]) -> list[str]:
    """Cells of one line, where a terminal has glued neighbours: ``NIC7NIC8``, ``SYSSYS``, ``NODEPIX``."""
    if len(cells) > MAX_COLUMNS + 16:
        return cells
    found: list[str] = []
    for cell in cells:
        if len(cell) > MOST_GLUED:
            found.append(cell)
        elif _GLUED_NAMES.fullmatch(cell):
            found += _GLUED_NAME.findall(cell)
        elif _GLUED_LINKS.fullmatch(cell):
            found += _LINK.findall(cell)
        elif glued := _GLUED_AFFINITY.fullmatch(cell):
            found += [glued[1], glued[2]]
        else:
            found.append(cell)
    return found


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


def _slot(matrix: Matrix, name: str, product: str) -> Slot:
    peers: dict[str, int] = {}
    for other in matrix.devices:
        said, mirrored = matrix.links(name, other), matrix.links(other, name)
        counts = [count for count in (said, mirrored) if count is not None]
        if other != name and counts:
            peers[other.lower()] = min(counts)
    told = None if matrix.pcie_only else peers
    return Slot(name=name.lower(), product=product, peers=told, nics=_nearest(matrix, name))


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
