"""Files of unlike machines, in the format of the published instances of Helix; README.md of this folder is its table."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from solver.errors import BadFile, BadInput
from solver.pipelines.machines import SINK, SOURCE, Link, UnlikeMachines
from solver.workload.documents import parse_document
from solver.workload.files import MOST_BYTES, read_text

LAYERS, MACHINES = "layers", "node_types"
THROUGHPUT = "throughput_tokens_per_s_by_type_and_layers_held"
LINKS = "links_directed_tokens_per_s"
ROOM = "sequences_by_type_and_layers_held"
STEPPING = ("micro_batch", "overhead_s")
FIELDS = (LAYERS, MACHINES, THROUGHPUT, LINKS, ROOM, *STEPPING)
_ENDS = {"source": SOURCE, "sink": SINK}


def read_machines(path: Path) -> UnlikeMachines:
    """The fleet of a JSON or YAML file.

    Raises
    ------
    BadFile: it cannot be read, a field is missing or wrong (its path is named), or the fleet cannot be served.
    """
    content = parse_document(read_text(path, MOST_BYTES), str(path))
    try:
        return _fleet(content)
    except BadInput as error:
        raise BadFile(f"{path}: {error}") from None


def _fleet(content: Mapping[str, Any]) -> UnlikeMachines:
    for field in (LAYERS, MACHINES, THROUGHPUT):
        if field not in content:
            raise BadInput(f"{field!r} is missing; a file of machines needs {LAYERS}, {MACHINES} and {THROUGHPUT}")
    _refuse_misspelt(content)
    layers, machines = content[LAYERS], content[MACHINES]
    if not isinstance(layers, int) or isinstance(layers, bool):
        raise BadInput(f"{LAYERS}: {str(layers)[:40]!r} is no whole number of layers")
    if not isinstance(machines, list) or not all(isinstance(kind, str) for kind in machines):
        raise BadInput(f"{MACHINES}: a list with the type of each machine is needed, such as [A100, L4, L4]")
    stepping = {field: _number(content[field], field) for field in STEPPING if field in content}
    room = _tables(content[ROOM], ROOM) if ROOM in content else None
    throughput, kinds = _tables(content[THROUGHPUT], THROUGHPUT), tuple(machines)
    links = _links(content[LINKS]) if LINKS in content else UnlikeMachines.connected(layers, kinds, throughput).links
    return UnlikeMachines(layers, kinds, throughput, links, sequences=room, **stepping)


def _refuse_misspelt(content: Mapping[str, Any]) -> None:
    """Other fields are notes of whoever wrote the file, unless they are nearly one of ours."""
    for field in content.keys() - set(FIELDS):
        for meant in get_close_matches(field[:100], FIELDS, 1, cutoff=0.8):
            raise BadInput(f"{field[:60]!r} is not read; did you mean {meant!r}?")


def _tables(value: Any, where: str) -> dict[str, dict[int, float]]:
    """Numbers by machine type and layers held."""
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise BadInput(f"{where}: a table {{layers held: number}} for each machine type is needed")
    tables: dict[str, dict[int, float]] = {}
    for kind, table in value.items():
        tables[kind] = {}
        for held, number in table.items():
            if not str(held).isdecimal():
                raise BadInput(f"{where}.{kind[:40]}: {str(held)[:40]!r} is no number of layers")
            tables[kind][int(held)] = _number(number, f"{where}.{kind[:40]}.{held}")
    return tables


def _links(value: Any) -> dict[tuple[int, int], Link]:
    """``[from, to, tokens/s]`` or ``[from, to, tokens/s, latency in s]``; machines by number, ``source`` and ``sink``."""
    if not isinstance(value, list):
        raise BadInput(f"{LINKS}: a list of [from, to, tokens/s] is needed")
    links: dict[tuple[int, int], Link] = {}
    for number, entry in enumerate(value):
        where = f"{LINKS}.{number}"
        if not isinstance(entry, list) or len(entry) not in (3, 4):
            raise BadInput(f"{where}: write [from, to, tokens/s] or [from, to, tokens/s, latency in s]")
        start, end = (_end(name, where) for name in entry[:2])
        if (start, end) in links:
            raise BadInput(f"{where}: the link {entry[0]} -> {entry[1]} is listed twice")
        links[start, end] = Link(*(_number(figure, where) for figure in entry[2:]))
    return links


def _end(name: Any, where: str) -> int:
    if isinstance(name, str) and name in _ENDS:
        return _ENDS[name]
    if isinstance(name, int) and not isinstance(name, bool) and name >= 0:
        return name
    raise BadInput(
        f"{where}: {str(name)[:40]!r} is neither the number of a machine, counted from 0, nor source or sink"
    )


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise BadInput(f"{where}: {str(value)[:40]!r} is no number")
    return float(value)
