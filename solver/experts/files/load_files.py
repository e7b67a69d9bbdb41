"""Readers of recorded expert loads: JSON of engines, CSV and NumPy files."""

from __future__ import annotations

import csv
import io
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from solver.errors import BadFile, BadInput
from solver.experts.arrays import Numbers
from solver.experts.files.load_records import COUNTS, MOST_BYTES, counts_of, parsed, read_text, summed_steps
from solver.experts.files.load_tables import read_table
from solver.experts.loads import Loads


def read_loads(
    paths: Sequence[str | Path], weights: Sequence[float] | None = None, dense_layers: Iterable[int] | None = None
) -> Loads:
    """Read one profile per file (a NumPy file of three axes holds several); profiles are named after the files,
    with their folders where two files have the same name.

    ====== =====================================================================================================
    suffix content
    ====== =====================================================================================================
    .json  ``{"logical_count": [[tokens by expert] by layer]}``, or with a leading axis of steps, which is summed; the
           bare list; layers by name; SGLang's records of passes; vLLM's state of its balancer
    .jsonl one such record, or one layer, a line
    .csv   one row per layer and one column per expert, with or without a header and columns of ids, or the columns
           ``layer,expert,load`` (also count, tokens, ...) in any order; .tsv likewise
    .npy   (layers, experts) or (profiles, layers, experts)
    .npz   one such array, or the one named ``logical_count``
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
        known = ", ".join(key for key, read in sorted(_READERS.items()) if read is not _read_torch)
        raise BadFile(f"{path}: expert loads are read from {known}, not {path.suffix or 'this'}")
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
    return counts_of(path, parsed(path, read_text(path)))


def _read_jsonl(path: Path) -> Numbers:
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    return counts_of(path, [parsed(path, line, number) for number, line in enumerate(lines, 1)])


def _read_torch(path: Path) -> Numbers:
    raise BadFile(
        f'{path}: a file of torch is a program that would be run; convert it once: python -c "import json, torch; '
        f"found = torch.load('{path.name}', weights_only=True); "
        "json.dump({'logical_count': found['logical_count'].tolist()}, open('loads.json', 'w'))\""
    )


def _read_npz(path: Path) -> Numbers:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            name = next((key for key in COUNTS if key in names), "" if len(names) != 1 else next(iter(names)))
            if not name:
                raise BadFile(f"{path}: holds {', '.join(sorted(names))[:200]}; name one of them logical_count")
            if names[name].file_size > MOST_BYTES:
                raise BadFile(f"{path}: {name} takes more than {MOST_BYTES // 1024**2} MiB")
            with archive.open(names[name]) as file:
                array = np.asarray(np.lib.format.read_array(io.BytesIO(file.read()), allow_pickle=False))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as broken:
        raise BadFile(f"{path}: not a NumPy archive ({broken})") from broken
    except (ValueError, SyntaxError, OverflowError, tokenize.TokenError) as broken:
        raise BadFile(f"{path}: not an array of numbers ({broken})") from broken
    return summed_steps(array) if name in COUNTS else array


def _read_npy(path: Path) -> Numbers:
    try:
        with path.open("rb") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (ValueError, SyntaxError, OverflowError, tokenize.TokenError) as broken:
        raise BadFile(f"{path}: not an array of numbers ({broken})") from broken


_READERS: dict[str, Callable[[Path], Numbers]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".csv": read_table,
    ".tsv": read_table,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pt": _read_torch,
    ".pth": _read_torch,
}
