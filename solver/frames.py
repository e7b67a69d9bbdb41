"""A plan as tables: pools, ranks, links and classes as pandas frames, one row each, in SI units.

>>> from solver import frames
>>> from solver.plan import Plan
>>> frames.pools(Plan.load("plan.json"))[["pool", "device", "replicas", "tp"]]  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas

from solver.plan import Latency, Plan, Pool
from solver.workload.measures import MEASURES

__all__ = ["classes", "links", "pools", "ranks"]

_LISTED = ("serves", "stages", "rests_on", "limits", "memory", "roofline", "parallelism", "name")


def pools(plan: Plan) -> pandas.DataFrame:
    """One row a pool: its setup, degrees, limits, load, step [s], memory [bytes] and the parts of a step [s]."""
    return _frame(_pool(pool) for pool in plan.pools)


def ranks(plan: Plan) -> pandas.DataFrame:
    """One row a rank: pool, replica, stage, rank, device, and the layers of its stage (first and last)."""
    stages = {pool.name: [stage.layers for stage in pool.stages] for pool in plan.pools}
    rows = (rank.model_dump() | _layers(stages[rank.pool][rank.stage]) for rank in plan.placement)
    return _frame(rows)


def links(plan: Plan) -> pandas.DataFrame:
    """One row for each direction of a loaded link: ends, fabric, load and bandwidth [bytes/s], utilisation."""
    return _frame(link.model_dump() for link in plan.links)


def classes(plan: Plan) -> pandas.DataFrame:
    """One row a request class: demand, promises, predicted latencies [s] and the 80 % range of each."""
    found = plan.prediction.classes
    rows = []
    for one in plan.scenario.traffic.classes:
        slo = one.promises(plan.scenario.slo)
        promised = {f"promised_{measure.field}": slo.limit(measure) for measure in MEASURES}
        asked = one.model_dump(include={"prompt_tokens", "output_tokens"})
        rows.append({"class": one.name} | asked | promised | _latency(found[one.name]))
    return _frame(rows)


def _frame(rows: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    return pandas.DataFrame(list(rows))


def _pool(pool: Pool) -> dict[str, Any]:
    roofline = {f"step_{name}" if name != "bound_by" else name: part for name, part in pool.roofline.model_dump().items()}
    limits = {name: value for name, value in pool.limits.model_dump().items() if name != "captured_batch_sizes"}
    return {
        "pool": pool.name,
        "serves": ", ".join(pool.serves),
        "devices": pool.devices,
        **pool.parallelism.model_dump(),
        **{name: value for name, value in pool.model_dump().items() if name not in _LISTED},
        **limits,
        **pool.memory.model_dump(),
        **roofline,
    }


def _layers(ends: tuple[int, int]) -> dict[str, int]:
    return {"first_layer": ends[0], "last_layer": ends[1]}


def _latency(latency: Latency) -> dict[str, Any]:
    told = latency.model_dump(exclude={"interval_80"})
    ranges = {f"{name}_{end}": pair[i] for name, pair in latency.interval_80.items() for i, end in enumerate(("low", "high"))}
    return told | ranges
