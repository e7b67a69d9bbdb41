"""Readers of recorded expert loads: SGLang's ``logical_count`` JSON, CSV and NumPy files."""

from __future__ import annotations

import csv
import json
import tokenize
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from solver.errors import BadFile, BadInput
from solver.experts.arrays import Float, Floats, Numbers
from solver.experts.loads import Loads


def read_loads(
    paths: Sequence[str | Path], weights: Sequence[float] | None = None, dense_layers: Iterable[int] | None = None
) -> Loads:
    """Read one profile per file (a NumPy file of three axes holds several); profiles are named after the files,
    with their folders where two files have the same name.

    ====== =====================================================================================================
    suffix content
    ====== =====================================================================================================
    .json  ``{"logical_count": [[tokens by expert] by layer]}``, or with a leading axis of steps, which is summed
    .csv   one row per layer and one column per expert, or the columns ``layer,expert,load`` in any order
    .npy   (layers, experts) or (profiles, layers, experts)
    ====== =====================================================================================================
    """
    declared = None if dense_layers is None else tuple(dense_layers)
    files = [Path(path) for path in paths]
    stems = {file.stem for file in files}
    names = [file.stem if len(stems) == len(files) else str(file.with_suffix("")) for file in files]
    return Loads.joined([_read(file, name, declared) for file, name in zip(files, names, strict=True)], weights)


def _read(path: Path, name: str, dense_layers: tuple[int, ...] | None) -> Loads:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadFile(f"{path}: expert loads are read from {', '.join(sorted(_READERS))}, not {path.suffix or 'this'}")
    try:
        array = reader(path)
    except OSError as missing:
        raise BadFile(f"{path}: {missing.strerror or missing}") from missing
    except (UnicodeDecodeError, csv.Error, EOFError, MemoryError, RecursionError) as broken:
        raise BadFile(f"{path}: this is no {path.suffix} file of expert loads ({broken})") from broken
    names = [name] if array.ndim < 3 or len(array) == 1 else [f"{name}.{p}" for p in range(len(array))]
    try:
        return Loads.of(array, names, dense_layers=dense_layers)
    except BadInput as bad:
        raise BadFile(f"{path}: {bad}") from bad


def _read_json(path: Path) -> Numbers:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as broken:
        raise BadFile(f"{path}: not JSON ({broken})") from broken
    if not isinstance(content, dict) or "logical_count" not in content:
        raise BadFile(f'{path}: expected {{"logical_count": [[tokens by expert] by layer]}}')
    return _summed_steps(_table(path, "logical_count", content["logical_count"]))


def _read_npy(path: Path) -> Numbers:
    try:
        with path.open("rb") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (ValueError, SyntaxError, OverflowError, tokenize.TokenError) as broken:
        raise BadFile(f"{path}: not an array of numbers ({broken})") from broken


def _read_csv(path: Path) -> Numbers:
    with path.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    if not rows:
        raise BadFile(f"{path}: no rows")
    header = [cell.strip().lower() for cell in rows[0]]
    if {"layer", "expert", "load"} <= set(header):
        return _long_form(path, header, rows[1:])
    return _numbers(path, rows if _is_number(rows[0][-1]) else rows[1:])


def _long_form(path: Path, header: list[str], rows: list[list[str]]) -> Floats:
    columns = [header.index(name) for name in ("layer", "expert", "load")]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise BadFile(f"{path}: line {number} has {len(row)} cells, the header has {len(header)}")
    table = _numbers(path, [[row[column] for column in columns] for row in rows])
    at = table[:, :2].astype(int) if len(table) else np.zeros((0, 2), int)
    if not len(table) or (at != table[:, :2]).any() or (at < 0).any():
        raise BadFile(f"{path}: layers and experts are whole numbers from 0")
    if len({tuple(pair) for pair in at.tolist()}) != len(at):
        raise BadFile(f"{path}: a pair of layer and expert stands there twice")
    layers, experts = (int(size) for size in at.max(axis=0) + 1)
    if layers > len(at) or experts > len(at):
        raise BadFile(f"{path}: {len(at)} loads cannot name {experts} experts of {layers} layers")
    named = np.bincount(at[:, 0], minlength=layers)
    for layer in np.flatnonzero((named > 0) & (named < experts)):
        raise BadFile(f"{path}: layer {layer} names {named[layer]} of {experts} experts")
    array = np.zeros((layers, experts), Float)
    array[at[:, 0], at[:, 1]] = table[:, 2]
    return array


def _numbers(path: Path, rows: list[list[str]]) -> Floats:
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise BadFile(f"{path}: row {number} of numbers has {len(row)} cells, the first has {len(rows[0])}")
        for cell in row:
            if not _is_number(cell):
                raise BadFile(f"{path}: row {number} of numbers holds {cell!r}, which is not a number")
    return np.array([[float(cell) for cell in row] for row in rows], Float)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _table(path: Path, key: str, value: object) -> Numbers:
    try:
        return np.asarray(value)
    except ValueError as ragged:
        raise BadFile(f"{path}: {key}: every layer needs one number for each expert") from ragged


def _summed_steps(array: Numbers) -> Numbers:
    return array.sum(axis=0) if array.ndim == 3 and array.dtype.kind in "iuf" else array


_READERS: dict[str, Callable[[Path], Numbers]] = {".json": _read_json, ".csv": _read_csv, ".npy": _read_npy}
