"""How a pool's latency, cost and step change with its load, under the physics that planned it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from solver.cost.instance import PromiseGroup
from solver.cost.pool.mix import Mix
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service
from solver.plan import Pool
from solver.view.scene import Scene
from solver.workload.measures import TPOT_P95, TTFT_P95, Measure

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
    ttft_s, tpot_s: the measures of them that the curve is about [s]; 0 where the role has no part in them.
    tokens_per_s: prompt tokens for prefill, output tokens otherwise.
    usd_per_million: rent of the replica's own devices over those tokens.
    parts_s: compute, memory traffic, network and overhead of a step, each alone [s].
    """

    load: float
    ttft_s: float
    tpot_s: float
    tokens_per_s: float
    usd_per_million: float
    step_s: float
    parts_s: tuple[float, float, float, float]


@dataclass(frozen=True)
class Nearest:
    """A measure of one entry of a pool's mix, the class that it belongs to, and its limit [s]; infinite without a promise."""

    measure: Measure
    entry: int
    request_class: str
    limit_s: float


@dataclass(frozen=True)
class Curve:
    """A pool over its load, and the point that the plan chose.

    Attributes
    ----------
    holds: most sequences for which an attention rank has memory; infinite for prefill.
    ttft, tpot: the promises that are nearest to their limits, or the slowest class where nothing was promised.
    stages: pipeline stages, over which the parts of a prefill step are spread.
    """

    pool: str
    role: Literal["prefill", "decode", "unified"]
    points: tuple[OperatingPoint, ...]
    chosen: OperatingPoint
    holds: float
    ttft: Nearest
    tpot: Nearest
    stages: int


def curve(scene: Scene, pool: Pool) -> Curve:
    """Price a pool over its whole range of loads."""
    priced, service = scene.priced[pool.name], scene.services[pool.name]
    ttft, tpot = (_nearest(service, scene.group(pool), priced.mix, usual) for usual in (TTFT_P95, TPOT_P95))

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
        ttft=ttft,
        tpot=tpot,
        stages=pool.parallelism.pp,
    )


def _nearest(service: Service, group: PromiseGroup, mix: Mix, usual: Measure) -> Nearest:
    """The measure and the entry of a mix that take most of what was promised; the slowest entry where nothing was."""
    known = {m: np.asarray(limit)[list(mix.member)] for m, limit in group.promise.about(usual.quantity).items()}
    worst = {measure: service.latency(measure)[0] / limit for measure, limit in known.items()}
    measure = max(worst, key=lambda m: float(worst[m].max()), default=usual)
    limits = known.get(measure, np.full(len(mix.member), math.inf))
    entry = int(np.argmax(worst.get(measure, service.latency(measure)[0])))
    return Nearest(measure, entry, group.classes[mix.member[entry]].name, float(limits[entry]))


def _loads(pool: Pool, priced: PricedPool, chosen: float) -> list[float]:
    """Loads worth showing: up to what the memory holds, or well beyond the chosen point."""
    if pool.role == "prefill":
        return [float(load) for load in np.linspace(*PREFILL_BUSY, POINTS)]
    top = max(min(priced.limit, max(32 * chosen, 64.0)), 1.5 * chosen)
    low = min(1.0, chosen / 4, top / 4)
    return [float(load) for load in np.geomspace(low, top, POINTS)]


def _point(
    scene: Scene, pool: Pool, priced: PricedPool, service: Service, row: int, nearest: tuple[Nearest, Nearest]
) -> OperatingPoint:
    """One of several operating points, with a measure of the TTFT and of the TPOT of an entry of the mix each."""
    rate = float(service.requests_per_s[row])
    mix = priced.mix
    tokens = rate * (float(mix.mean(mix.prompt)) if pool.role == "prefill" else mix.mean_output)
    rent = scene.instance.usd_per_hour(pool.device) * pool.parallelism.shape().devices
    first, later = (float(service.latency(each.measure)[row, each.entry]) for each in nearest)
    load = service.utilisation if pool.role == "prefill" else service.batch
    return OperatingPoint(
        load=float(load[row]),
        ttft_s=first,
        tpot_s=later,
        tokens_per_s=tokens,
        usd_per_million=rent / (tokens * 3600) * 1e6,
        step_s=float(service.step_s[row]),
        parts_s=priced.parts_s(service, row),
    )
