"""Expert maps as engines read them, and back: SGLang's JSON and TensorRT-LLM's YAML.

In both, successive slots belong to a rank: slot ``s`` of a layer lies on rank ``s // slots_per_rank``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from solver.errors import BadFile, BadInput
from solver.experts.arrays import Int, Ints
from solver.experts.expert_map import ExpertMap
from solver.workload.files import MOST_BYTES, parse_document, read_text

MapEngine: TypeAlias = Literal["sglang", "trtllm"]


def sglang_map(placed: ExpertMap) -> dict[str, list[list[int]]]:
    """``--init-expert-location``: the expert in each slot, for every layer of the LLM.

    SGLang wants rows for dense layers too; they hold the experts in turn and are never used.
    """
    places = placed.slots.shape[1] * placed.slots.shape[2]
    unused = (np.arange(places) % placed.experts).tolist()
    rows = [unused] * placed.layers
    for layer in placed.moe_layers:
        rows[layer] = placed.physical_to_logical(layer)
    return {"physical_to_logical_map": rows}


def trtllm_map(placed: ExpertMap) -> dict[str, Any]:
    """``moe_config.load_balancer``: static assignments of the MoE layers only."""
    return {
        "num_slots": placed.slots.shape[1] * placed.slots.shape[2],
        "layer_updates_per_iter": 0,
        "initial_global_assignments": {layer: placed.physical_to_logical(layer) for layer in placed.moe_layers},
    }


def map_text(placed: ExpertMap, engine: MapEngine) -> str:
    """The content of the map file for an engine.

    Raises
    ------
    BadInput: the map is not one that an engine would accept.
    """
    found = placed.violations()
    if found:
        raise BadInput(f"this expert map cannot be served: {'; '.join(found)}")
    if engine == "sglang":
        return json.dumps(sglang_map(placed)) + "\n"
    content = trtllm_map(placed)
    rows = content.pop("initial_global_assignments")
    lines = [f"{key}: {value}" for key, value in content.items()]
    lines += ["initial_global_assignments:", *(f"  {layer}: {experts}" for layer, experts in rows.items())]
    return "\n".join(lines) + "\n"


def read_map(path: str | Path, ranks: int, moe_layers: Sequence[int] | None = None) -> ExpertMap:
    """Read a map of either engine, for example to re-balance it.

    Parameters
    ----------
    ranks: expert-parallel size; the file does not say it.
    moe_layers: layers that route tokens; SGLang's file does not tell them from dense ones, so by default all do.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadFile(f"{path}: expert maps are read from {', '.join(sorted(_READERS))}")
    try:
        rows = reader(path, read_text(path, MOST_BYTES))
    except OSError as missing:
        raise BadFile(f"{path}: {missing.strerror or missing}") from missing
    except (UnicodeDecodeError, RecursionError) as broken:
        raise BadFile(f"{path}: this is no {path.suffix} file of an expert map ({broken})") from broken
    wanted = tuple(sorted(rows)) if moe_layers is None else tuple(sorted(moe_layers))
    lacking = [layer for layer in wanted if layer not in rows]
    if lacking:
        raise BadFile(f"{path}: no slots for layer {lacking[0]}")
    slots = _square(path, [rows[layer] for layer in wanted], wanted, ranks)
    found = ExpertMap(slots, int(slots.max()) + 1, wanted, max(rows) + 1)
    if found.violations():
        raise BadFile(f"{path}: {found.violations()[0]}")
    return found


def _read_sglang(path: Path, text: str) -> dict[int, object]:
    try:
        content = json.loads(text)
    except ValueError as broken:
        raise BadFile(f"{path}: not JSON ({broken})") from broken
    rows = content.get("physical_to_logical_map") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise BadFile(f'{path}: expected {{"physical_to_logical_map": [[expert by slot] by layer]}}')
    return dict(enumerate(rows))


def _read_trtllm(path: Path, text: str) -> dict[int, object]:
    content = parse_document(text, str(path))
    rows = content.get("initial_global_assignments")
    if not isinstance(rows, dict) or not rows or not all(re.fullmatch("[0-9]{1,6}", layer) for layer in rows):
        raise BadFile(f"{path}: expected initial_global_assignments: {{layer: [expert by slot]}}")
    number = content.get("num_slots")
    for layer, row in rows.items():
        if isinstance(row, list) and len(row) != number:
            raise BadFile(f"{path}: layer {layer} has {len(row)} slots, num_slots says {number}")
    return {int(layer): row for layer, row in rows.items()}


def _square(path: Path, rows: Iterable[object], layers: Sequence[int], ranks: int) -> Ints:
    """Rows of expert numbers as (layers, ranks, slots)."""
    checked: list[list[int]] = []
    for layer, row in zip(layers, rows, strict=True):
        if not isinstance(row, list) or not all(type(expert) is int for expert in row):
            raise BadFile(f"{path}: layer {layer} must be a list of expert numbers")
        if not row or len(row) % ranks:
            raise BadFile(f"{path}: layer {layer} has {len(row)} slots, which is no multiple of {ranks} ranks")
        if not 0 <= min(row) <= max(row) < len(row):
            raise BadFile(
                f"{path}: layer {layer} names expert {max(row)}; {len(row)} slots hold experts 0 to {len(row) - 1}"
            )
        if checked and len(row) != len(checked[0]):
            raise BadFile(f"{path}: layer {layer} has {len(row)} slots, layer {layers[0]} has {len(checked[0])}")
        checked.append(row)
    return np.array(checked, Int).reshape(len(checked), ranks, -1)


_READERS: dict[str, Callable[[Path, str], dict[int, object]]] = {
    ".json": _read_sglang,
    ".yaml": _read_trtllm,
    ".yml": _read_trtllm,
}
