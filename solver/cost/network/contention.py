"""What the fabric leaves to an expert exchange when every replica exchanges at once.

A device prices its exchange at its NIC's bandwidth; behind an oversubscribed spine, or where hosts share a NIC, it gets
less. Each stage that spreads over several scale-up domains sends evenly among its ranks, all stages of all pools at the
same time and rate, and the fullest link decides: ``rate = min over links of bandwidth / load at 1 byte/s``. Safe: in
truth exchanges of different replicas do not always meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.cost.network.fleet import Fleet
from topologies import Routes
from topologies.routes import FlowSum, Links

Floats = NDArray[np.float64]

#: A rate within this share of the NIC's is the NIC's.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Exchange:
    """The scale-out rate of a pool's expert exchange.

    Attributes
    ----------
    bytes_per_s: out of each device's domain, and into it.
    link: the link that decides.
    """

    bytes_per_s: float
    link: tuple[str, str]


def exchanges(routes: Routes, pools: Sequence[Iterable[Sequence[str]]]) -> list[Exchange | None]:
    """The exchange of every pool; None where no stage of it leaves its domain.

    Parameters
    ----------
    pools: devices of each stage, of all replicas of each pool.
    """
    links = routes.links
    each = []
    for stages in pools:
        traffic = routes.traffic()
        for stage in stages:
            cross(traffic, stage, 1.0)
        each.append(np.where(links.scale_out, traffic.loads(), 0.0))
    loads = np.sum(each, axis=0)
    return [_slowest(links, loads, np.flatnonzero(mine)) for mine in each]


def _slowest(links: Links, loads: Floats, used: NDArray[np.intp]) -> Exchange | None:
    """The rate of the fullest of some links; None where there are none."""
    if not len(used):
        return None
    rates = links.bandwidth[used] / loads[used]
    link = min(links.names[number] for number in used[rates == rates.min()])
    return Exchange(float(rates.min()), link)


def cross(traffic: FlowSum, stage: Sequence[str], bytes_per_s: float) -> None:
    """Add that every rank of a stage sends so much out of its scale-up domain, evenly to the ranks in others."""
    sizes = Counter(traffic.routes.places.domain[device] for device in stage)
    outside = len(stage) - max(sizes.values())
    if outside:
        traffic.uniform(stage, stage, bytes_per_s * (len(stage) - 1) / outside, leaving=True)


def slowed(fleet: Fleet, exchange: Exchange | float | None) -> Fleet:
    """A fleet whose devices get no more of the scale-out fabric than this [B/s]; the same where that is no less."""
    rate = exchange.bytes_per_s if isinstance(exchange, Exchange) else exchange
    own = fleet.device.scale_out_bytes_per_s
    if rate is None or rate >= own * (1 - ROUNDING):
        return fleet
    return replace(fleet, device=replace(fleet.device, scale_out_bytes_per_s=rate))
