"""How a pool's latency, cost and step change with its load, under the physics that planned it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service
from solver.plan import Pool
from solver.view.scene import Scene

#: Operating points of a curve.
POINTS = 48
#: A prefill pool is shown from hardly busy to nearly full.
PREFILL_BUSY = (0.05, 0.97)


@dataclass(frozen=True)
class OperatingPoint:
    """One operating point of a replica.

    Attributes
    ----------
    load: running sequences on an attention rank; for prefill the share of the time it is busy.
    ttft_p95_s, tpot_p95_s: of the class nearest to its promise [s]; 0 where the role has no part in them.
    tokens_per_s: prompt tokens for prefill, output tokens otherwise.
    usd_per_million: rent of the replica's own devices over those tokens.
    parts_s: compute, memory traffic, network and overhead of a step, each alone [s].
    """

    load: float
    ttft_p95_s: float
    tpot_p95_s: float
    tokens_per_s: float
    usd_per_million: float
    step_s: float
    parts_s: tuple[float, float, float, float]


@dataclass(frozen=True)
class Curve:
    """A pool over its load, and the point that the plan chose.

    Attributes
    ----------
    holds: most sequences for which an attention rank has memory; infinite for prefill.
    ttft_class, tpot_class: the classes that are nearest to what they were promised, or slowest where nothing was.
    ttft_limit_s, tpot_limit_s: what they were promised; infinite where nothing was.
    stages: pipeline stages, over which the parts of a prefill step are spread.
    """

    pool: str
    role: Literal["prefill", "decode", "unified"]
    points: tuple[OperatingPoint, ...]
    chosen: OperatingPoint
    holds: float
    ttft_class: str
    tpot_class: str
    ttft_limit_s: float
    tpot_limit_s: float
    stages: int


def curve(scene: Scene, pool: Pool) -> Curve:
    """Price a pool over its whole range of loads."""
    priced, service = scene.priced[pool.name], scene.services[pool.name]
    group, member = scene.group(pool), list(priced.mix.member)
    slo = group.promise
    ttft = _nearest(service.ttft_p95[0], np.asarray(slo.ttft)[member])
    tpot = _nearest(service.tpot_p95[0], np.asarray(slo.tpot)[member])

    def point(service: Service, row: int = 0) -> OperatingPoint:
        return _point(scene, pool, priced, service, row, (ttft, tpot))

    chosen = point(service)
    loads = _loads(pool, priced, chosen.load)
    over = priced.at_loads(loads)
    return Curve(
        pool=pool.name,
        role=pool.role,
        points=tuple(point(over, row) for row in range(len(loads))),
        chosen=chosen,
        holds=math.inf if pool.role == "prefill" else priced.limit,
        ttft_class=group.classes[member[ttft]].name,
        tpot_class=group.classes[member[tpot]].name,
        ttft_limit_s=float(np.asarray(slo.ttft)[member[ttft]]),
        tpot_limit_s=float(np.asarray(slo.tpot)[member[tpot]]),
        stages=pool.parallelism.pp,
    )


def _nearest(latency: NDArray[np.float64], limit: NDArray[np.float64]) -> int:
    """The entry of a mix that takes most of what it was promised; the slowest where nothing was."""
    share = latency / limit
    return int(np.argmax(share if np.any(share > 0) else latency))


def _loads(pool: Pool, priced: PricedPool, chosen: float) -> list[float]:
    """Loads worth showing: up to what the memory holds, or well beyond the chosen point."""
    if pool.role == "prefill":
        return [float(load) for load in np.linspace(*PREFILL_BUSY, POINTS)]
    top = max(min(priced.limit, max(32 * chosen, 64.0)), 1.5 * chosen)
    low = min(1.0, chosen / 4, top / 4)
    return [float(load) for load in np.geomspace(low, top, POINTS)]


def _point(
    scene: Scene, pool: Pool, priced: PricedPool, service: Service, row: int, entries: tuple[int, int]
) -> OperatingPoint:
    """One of several operating points, with the TTFT and the TPOT of an entry of the mix each."""
    rate = float(service.requests_per_s[row])
    mix = priced.mix
    tokens = rate * (float(mix.mean(mix.prompt)) if pool.role == "prefill" else mix.mean_output)
    rent = scene.instance.usd_per_hour(pool.device) * pool.parallelism.shape().devices
    load = service.utilisation if pool.role == "prefill" else service.batch
    return OperatingPoint(
        load=float(load[row]),
        ttft_p95_s=float(service.ttft_p95[row, entries[0]]),
        tpot_p95_s=float(service.tpot_p95[row, entries[1]]),
        tokens_per_s=tokens,
        usd_per_million=rent / (tokens * 3600) * 1e6,
        step_s=float(service.step_s[row]),
        parts_s=priced.parts_s(service, row),
    )
