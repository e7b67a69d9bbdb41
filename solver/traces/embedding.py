"""A scenario's traffic given as a trace, replaced by the classes found in it, so that the file is not needed again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solver.errors import BadInput, nearest
from solver.traces.lines import Progress
from solver.traces.reading import Reading
from solver.traces.traffic import classes

#: What may stand beside ``trace``: how it is read, and what holds for all of its classes.
_READING = ("format", "classes", "block_tokens", "columns", "time_unit")
_FOR_ALL = ("slo", "price_usd_per_million_output_tokens")
_KEPT = ("routing",)


def with_classes(content: Mapping[str, Any], folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """The content of a scenario with ``traffic: {trace: FILE, ...}`` replaced by the trace's request classes.

    Beside ``trace`` may stand ``format``, ``columns``, ``time_unit``, ``classes`` (how many, or ``auto``), ``block_tokens``,
    ``requests_per_s`` (all
    rates scaled to that sum), ``slo`` and ``price_usd_per_million_output_tokens`` (for every class), and ``routing``.
    Traffic that names no trace stays as it is.

    Parameters
    ----------
    folder: where the trace's relative path starts.

    Raises
    ------
    BadInput: a key that means nothing here, or a trace that cannot be used.
    """
    whole, given = dict(content), content.get("traffic")
    if not isinstance(given, Mapping) or "trace" not in given:
        return whole
    known = ("trace", "requests_per_s", *_READING, *_FOR_ALL, *_KEPT)
    for key in given:
        if key not in known:
            raise BadInput(f"traffic.{str(key)[:80]}: unknown key beside a trace; nearest: "
                           f"{', '.join(nearest(str(key)[:80], known))}")  # fmt: skip
    if not isinstance(given["trace"], str) or not given["trace"]:
        raise BadInput("traffic.trace: must be the path of a trace, for example conversation.jsonl")
    reading = Reading(
        format=str(given.get("format", "auto")),
        block_tokens=given.get("block_tokens"),
        columns=None if given.get("columns") is None else str(given["columns"]),
        time_unit=str(given.get("time_unit", "auto")),
        progress=progress,
    )
    found = classes(folder / given["trace"], given.get("classes", "auto"), reading).classes
    scale = _scale(given.get("requests_per_s"), sum(c.requests_per_s for c in found))
    records = []
    for one in found:
        record = one.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        record["requests_per_s"] = one.requests_per_s * scale
        records.append(record | {key: given[key] for key in _FOR_ALL if key in given})
    whole["traffic"] = {"classes": records} | {key: given[key] for key in _KEPT if key in given}
    return whole


def _scale(wanted: object, recorded: float) -> float:
    """By how much all rates are multiplied."""
    if wanted is None:
        return 1.0
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 < wanted <= 1e9:
        raise BadInput(f"traffic.requests_per_s: {str(wanted)[:40]!r} is not a rate above 0")
    return float(wanted) / recorded
