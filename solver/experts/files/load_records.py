"""Expert loads in JSON: SGLang's counts and records of passes, vLLM's state of its balancer, bare lists, layers by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from solver.errors import BadFile
from solver.experts.arrays import Float, Floats, Numbers

#: Largest file of loads that is read [bytes].
MOST_BYTES = 1024**3
#: Keys under which counts by expert stand, and those of counts by slot, which a map turns into experts.
COUNTS = (
    "logical_count",
    "expert_load",
    "expert_loads",
    "loads",
    "counts",
    "expert_counts",
    "tokens_per_expert",
    "layers",
)
_BY_SLOT = ("global_physical_count", "physical_count", "expert_load_window", "expert_load_pass")
_MAPS = ("last_physical_to_logical_map", "physical_to_logical_map")
_NUMBERED = re.compile(r"\D*(\d{1,5})\D*")
_LOGICAL = "logical_count"


def read_text(path: Path) -> str:
    """The text of a file.

    Raises
    ------
    BadFile: too large.
    """
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise BadFile(f"{path}: larger than {MOST_BYTES // 1024**2} MiB")
    return raw.decode("utf-8-sig")


def parsed(path: Path, text: str, line: int | None = None) -> Any:
    """A JSON text."""
    try:
        return json.loads(text)
    except ValueError as broken:
        where = "" if line is None else f" line {line}:"
        raise BadFile(f"{path}:{where} not JSON ({broken})") from broken


def counts_of(path: Path, content: Any) -> Numbers:
    """Loads by layer and expert of whatever the file holds; passes and steps are summed.

    Raises
    ------
    BadFile: no counts, or counts by slot without the map that tells which expert each slot held.
    """
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        return _records(path, content, None)
    if isinstance(content, list) and all(isinstance(entry, list) for entry in content):
        return summed_steps(table(path, "the list", content))
    if not isinstance(content, dict):
        raise BadFile(_expected(path))
    if isinstance(content.get("records"), list) and all(isinstance(entry, dict) for entry in content["records"]):
        return _records(path, content["records"], _first(content, _MAPS))
    inner = [value for value in content.values() if isinstance(value, dict | list)]
    if (
        len(inner) == 1
        and inner[0]
        and not any(map(_NUMBERED.fullmatch, map(str, content)))
        and not _first(content, (*COUNTS, *_BY_SLOT))
    ):
        return counts_of(path, inner[0])
    return _one(path, content, None)


def _expected(path: Path) -> str:
    return f'{path}: expected {{"logical_count": [[tokens by expert] by layer]}}, a bare list of that, or records of passes'


def _first(content: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((content[key] for key in keys if content.get(key) is not None), None)


def _records(path: Path, records: list[dict[str, Any]], slots: Any) -> Numbers:
    """Records of passes, summed; or one record for each layer, in the order of its number."""
    if not records:
        raise BadFile(f"{path}: no records")
    if all("layer" in record or "layer_id" in record for record in records):
        return _by_layer(path, records)
    if any("topk_ids_of_layer" in record for record in records):
        raise BadFile(f"{path}: records of single tokens (per_token); record passes (per_pass) or their sum (stat)")
    ranks = {record.get("rank") for record in records if "global_physical_count" in record}
    kept = [record for record in records if len(ranks) < 2 or record.get("rank") == min(ranks, key=str)]
    tables = [_one(path, record, slots) for record in kept]
    if len({one.shape for one in tables}) > 1:
        raise BadFile(f"{path}: its records count experts in tables of several shapes")
    return np.asarray(np.sum(tables, axis=0))


def _by_layer(path: Path, records: list[dict[str, Any]]) -> Numbers:
    found: dict[int, list[Any]] = {}
    for record in records:
        layer, counts = record.get("layer", record.get("layer_id")), _first(record, COUNTS)
        expert, load = record.get("expert", record.get("expert_id")), _first(record, ("load", "count", "tokens"))
        if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer <= 10_000:
            raise BadFile(f"{path}: layers are whole numbers from 0")
        if isinstance(counts, list):
            found.setdefault(layer, []).append(counts)
        elif isinstance(expert, int) and isinstance(load, int | float):
            found.setdefault(layer, []).append((expert, load))
        else:
            raise BadFile(f"{path}: the record of layer {layer} holds neither counts nor an expert with its load")
    rows = {layer: _row(path, layer, entries) for layer, entries in found.items()}
    width = max(len(row) for row in rows.values())
    if any(len(row) != width for row in rows.values()):
        raise BadFile(f"{path}: its layers count several numbers of experts")
    filled = np.zeros((max(rows) + 1, width), Float)
    for layer, row in rows.items():
        filled[layer] = row
    return filled


def _row(path: Path, layer: int, entries: list[Any]) -> Floats:
    if all(isinstance(entry, list) for entry in entries):
        summed = table(path, f"layer {layer}", entries)
        if summed.ndim != 2:
            raise BadFile(f"{path}: layer {layer} needs one number for each expert")
        return np.asarray(summed.sum(axis=0), Float)
    pairs: dict[int, float] = dict(entry for entry in entries if isinstance(entry, tuple))
    if sorted(pairs) != list(range(len(pairs))) or len(pairs) != len(entries):
        raise BadFile(f"{path}: layer {layer} does not name each expert from 0 once")
    return np.array([pairs[expert] for expert in range(len(pairs))], Float)


def _one(path: Path, content: Mapping[str, Any], slots: Any) -> Numbers:
    key = next((key for key in COUNTS if content.get(key) is not None), None)
    if key is not None and not isinstance(content[key], dict):
        return summed_steps(table(path, key, content[key]))
    by_slot = next((key for key in _BY_SLOT if content.get(key) is not None), None)
    if key is None and by_slot is not None:
        held = _first(content, _MAPS) if _first(content, _MAPS) is not None else slots
        return _by_expert(path, by_slot, summed_steps(table(path, by_slot, content[by_slot])), held)
    named = content[key] if key is not None else content
    layers = {int(found[1]): value for name, value in named.items() if (found := _NUMBERED.fullmatch(str(name)))}
    if not layers or len(layers) < len(named) or max(layers) > 10_000:
        raise BadFile(_expected(path))
    rows = []
    for layer, value in layers.items():
        if isinstance(value, dict):
            experts = {int(found[1]): load for name, load in value.items() if (found := _NUMBERED.fullmatch(str(name)))}
            if sorted(experts) != list(range(len(value))):
                raise BadFile(f"{path}: layer {layer} does not name each expert from 0 once")
            value = [experts[expert] for expert in range(len(experts))]
        rows.append({"layer": layer, "counts": value})
    return _by_layer(path, rows)


def _by_expert(path: Path, key: str, counts: Numbers, held: Any) -> Numbers:
    """Counts by slot (layers, slots) as counts by expert."""
    if held is None:
        raise BadFile(
            f"{path}: {key} counts tokens by slot, and no physical_to_logical_map tells which expert each slot held"
        )
    slots = table(path, "physical_to_logical_map", held)
    if slots.shape != counts.shape or slots.ndim != 2 or slots.dtype.kind not in "iu" or slots.min() < 0:
        raise BadFile(
            f"{path}: physical_to_logical_map is of shape {slots.shape}, {key} of {counts.shape}; they must agree"
        )
    if slots.max() >= slots.size:
        raise BadFile(f"{path}: physical_to_logical_map names expert {int(slots.max())}, more than there are slots")
    found = np.zeros((len(counts), int(slots.max()) + 1), Float)
    np.add.at(found, (np.arange(len(counts))[:, None], slots), counts)
    return found


def table(path: Path, key: str, value: object) -> Numbers:
    """A list of lists as an array.

    Raises
    ------
    BadFile: its rows are of several lengths.
    """
    try:
        return np.asarray(value)
    except ValueError as ragged:
        raise BadFile(f"{path}: {key}: every layer needs one number for each expert") from ragged


def summed_steps(array: Numbers) -> Numbers:
    """An array with a leading axis of steps, summed over it."""
    return array.sum(axis=0) if array.ndim == 3 and array.dtype.kind in "iuf" else array
