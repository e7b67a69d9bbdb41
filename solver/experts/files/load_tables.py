"""Expert loads in tables of text: a row for each layer or a row for each load; header and ids are told from loads."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from solver.errors import BadFile
from solver.experts.arrays import Float, Floats
from solver.experts.files.load_records import read_text

_LAYER = ("layer", "layer_id", "layer_idx", "layer_index", "moe_layer", "moe_layer_id")
_EXPERT = (
    "expert",
    "expert_id",
    "expert_idx",
    "expert_index",
    "logical_expert",
    "logical_expert_id",
    "physical_expert",
)
_LOAD = (
    "load",
    "count",
    "counts",
    "tokens",
    "token_count",
    "num_tokens",
    "n_tokens",
    "hits",
    "value",
    "frequency",
    "share",
    "fraction",
    "probability",
    "logical_count",
)
_STEP = ("step", "pass", "forward_pass_id", "iteration", "iter", "time", "timestamp", "rank")
_IDS = (*_LAYER, *_STEP, "", "id", "index", "idx", "row", "name", "model", "total", "sum", "unnamed: 0")
_TOTALS = ("total", "sum")
_NUMBERED = re.compile(r"(.*?)[ _.:#-]?(\d{1,5})")
_WORD = re.compile(r"[^a-z0-9: ]+")


def read_table(path: Path) -> Floats:
    """Loads by layer and expert (layers, experts).

    Raises
    ------
    BadFile: a cell that is no number, rows of several lengths, or a header that leaves open which columns are loads.
    """
    rows = _rows(path)
    if not rows:
        raise BadFile(f"{path}: no rows")
    header = [cell.strip().lower() for cell in rows[0]]
    if all(map(_is_number, rows[0])):
        return _bare(path, rows)
    at = [_place(header, names) for names in (_LAYER, _EXPERT, _LOAD)]
    if all(place is not None for place in at):
        return _long_form(path, header, rows[1:], [place for place in at if place is not None])
    return _wide(path, header, rows[1:])


def _rows(path: Path) -> list[list[str]]:
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    mark = max(",;\t", key=first.count)
    lines = [line for line in text.splitlines() if line.strip()]
    if not first.count(mark):
        rows = [line.split() for line in lines]
    else:
        bare = [line.lstrip("# ") if line.startswith("#") else line for line in lines]
        rows = [row for row in csv.reader(bare, delimiter=mark) if any(cell.strip() for cell in row)]
    while len(rows) > 1 and lines[0].startswith("#") and len(rows[0]) != len(rows[1]):
        rows, lines = rows[1:], lines[1:]
    while rows and all(len(row) == len(rows[0]) and not row[-1].strip() for row in rows):
        rows = [row[:-1] for row in rows]
    return rows


def _place(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _bare(path: Path, rows: list[list[str]]) -> Floats:
    """A table without a header: all columns are loads, unless the first counts rows or the first row counts columns."""
    table = _numbers(path, rows, 1)
    if len(table) > 1 and (table[0] == np.arange(table.shape[1])).all():
        table = table[1:]
    if table.shape[1] == 3 and len(table) > 3:
        pairs = {tuple(pair) for pair in table[:, :2].tolist()}
        layers, experts = (int(size) for size in table[:, :2].max(axis=0) + 1)
        if len(pairs) == len(table) == layers * experts and (table[:, :2] == table[:, :2].astype(int)).all():
            return _filled(path, table)
    first = table[:, 0]
    counts_rows = len(table) > 1 and (np.diff(first) == 1).all() and first[0] in (0, 1, 2, 3)
    if counts_rows and table.shape[1] % 2:
        return table[:, 1:]
    if counts_rows:
        raise BadFile(
            f"{path}: the first column counts the rows from {first[0]:g}: give the table a header, such as "
            "layer,expert_0,expert_1,..., that tells whether it is a number of layers or a load"
        )
    return table


def _wide(path: Path, header: list[str], rows: list[list[str]]) -> Floats:
    """A row for each layer: the numbered columns are experts, the others ids."""
    if not rows:
        raise BadFile(f"{path}: a header and no rows")
    if (expert := _place(header, _EXPERT)) is not None and any(name.startswith("layer") for name in header):
        return _transposed(path, header, rows, expert)
    experts: dict[int, int] = {}
    stems = set[str]()
    for place, name in enumerate(header):
        found = _NUMBERED.fullmatch(name)
        if name in _IDS or (found is None and _WORD.sub("", name) in _IDS):
            continue
        if found is None:
            raise BadFile(
                f"{path}: column {name[:40]!r} is neither a numbered expert (expert_0, 0, ...) nor an id (layer, step, ...)"
            )
        stems.add(found[1])
        if int(found[2]) in experts:
            raise BadFile(f"{path}: expert {int(found[2])} has two columns")
        experts[int(found[2])] = place
    first = min(experts, default=-1)
    if len(stems) != 1 or first not in (0, 1) or sorted(experts) != list(range(first, first + len(experts))):
        raise BadFile(f"{path}: the header does not number its experts from 0: {', '.join(header)[:100]}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise BadFile(f"{path}: line {number} has {len(row)} cells, the header has {len(header)}")
    table = _numbers(path, [[row[experts[expert]] for expert in sorted(experts)] for row in rows], 2)
    layer = _place(header, _LAYER)
    return table if layer is None else _by_layer(path, _numbers(path, [[row[layer]] for row in rows], 2)[:, 0], table)


def _transposed(path: Path, header: list[str], rows: list[list[str]], expert: int) -> Floats:
    """A row for each expert and a numbered column for each layer, as (layers, experts)."""
    columns = [place for place, name in enumerate(header) if re.fullmatch(r"layer[ _.:#-]?\d{1,5}", name)]
    if len(columns) != len(header) - 1 or any(len(row) != len(header) for row in rows):
        raise BadFile(f"{path}: beside its experts the header has other columns than layers: {', '.join(header)[:100]}")
    table = _numbers(path, [[row[place] for place in (expert, *columns)] for row in rows], 2)
    numbers = [int(re.findall(r"\d+", header[place])[0]) for place in columns]
    named = [(layer, one[0], load) for one in table for layer, load in zip(numbers, one[1:], strict=True)]
    return _filled(path, np.array(named, Float))


def _by_layer(path: Path, layers: Floats, table: Floats) -> Floats:
    """Rows put where their layer says; several rows of a layer, of steps or ranks, are summed."""
    at = layers.astype(int)
    if (at != layers).any() or (at < 0).any() or at.max() > 10 * len(at) + 100:
        raise BadFile(f"{path}: layers are whole numbers from 0")
    found = np.zeros((int(at.max()) + 1, table.shape[1]), Float)
    np.add.at(found, at, table)
    return found


def _long_form(path: Path, header: list[str], rows: list[list[str]], columns: list[int]) -> Floats:
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise BadFile(f"{path}: line {number} has {len(row)} cells, the header has {len(header)}")
    several = any(name in _STEP for name in header)
    return _filled(path, _numbers(path, [[row[column] for column in columns] for row in rows], 2), several)


def _filled(path: Path, table: Floats, several: bool = False) -> Floats:
    """Loads (layers, experts) of rows of layer, expert and load; ``several`` rows of a pair are summed."""
    at = table[:, :2].astype(int) if len(table) else np.zeros((0, 2), int)
    if not len(table) or (at != table[:, :2]).any() or (at < 0).any():
        raise BadFile(f"{path}: layers and experts are whole numbers from 0")
    if not several and len({tuple(pair) for pair in at.tolist()}) != len(at):
        raise BadFile(f"{path}: a pair of layer and expert stands there twice")
    layers, experts = (int(size) for size in at.max(axis=0) + 1)
    if layers > len(at) or experts > len(at):
        raise BadFile(f"{path}: {len(at)} loads cannot name {experts} experts of {layers} layers")
    named = np.zeros((layers, experts), bool)
    named[at[:, 0], at[:, 1]] = True
    for layer in np.flatnonzero(named.any(axis=1) & ~named.all(axis=1)):
        raise BadFile(f"{path}: layer {layer} names {named[layer].sum()} of {experts} experts")
    array = np.zeros((layers, experts), Float)
    np.add.at(array, (at[:, 0], at[:, 1]), table[:, 2])
    return array


def _numbers(path: Path, rows: list[list[str]], first: int) -> Floats:
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise BadFile(f"{path}: row {number} of numbers has {len(row)} cells, the first has {len(rows[0])}")
        for cell in row:
            if not _is_number(cell):
                raise BadFile(f"{path}: row {number} of numbers holds {cell[:40]!r}, which is not a number")
    return np.array([[float(cell) for cell in row] for row in rows], Float)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
