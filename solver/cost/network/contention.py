"""What the fabric leaves to an expert exchange when every replica exchanges at once.

A device prices its exchange at its NIC's bandwidth; behind an oversubscribed spine, or where hosts share a NIC, it gets
less. Each stage that spreads over several scale-up domains sends evenly among its ranks, all stages of all pools at the
same time and rate, and the fullest link decides: ``rate = min over links of bandwidth / load at 1 byte/s``. Safe: in
truth exchanges of different replicas do not always meet.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from solver.cost.network.fleet import Fleet
from topologies import Routes

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
    loads: dict[tuple[str, str], float] = defaultdict(float)
    used: list[set[tuple[str, str]]] = []
    for stages in pools:
        used.append(set())
        for stage in stages:
            for link, load in crossing_loads(routes, stage, 1.0).items():
                if routes.scale_out(link):
                    loads[link] += load
                    used[-1].add(link)
    headroom = {link: 1.0 / share for link, share in routes.utilisation(loads).items()}
    slowest = [min(sorted(links), key=headroom.__getitem__, default=None) for links in used]
    return [None if link is None else Exchange(headroom[link], link) for link in slowest]


def crossing_loads(routes: Routes, stage: Sequence[str], bytes_per_s: float) -> dict[tuple[str, str], float]:
    """Loads when every rank of a stage sends so much out of its scale-up domain, evenly to the ranks in others."""
    sizes = Counter(routes.places.domain[device] for device in stage)
    outside = len(stage) - max(sizes.values())
    if not outside:
        return {}
    loads = routes.uniform_loads(stage, stage, bytes_per_s * (len(stage) - 1) / outside)
    return {link: load for link, load in loads.items() if not routes.scale_up(link)}


def slowed(fleet: Fleet, exchange: Exchange | float | None) -> Fleet:
    """A fleet whose devices get no more of the scale-out fabric than this [B/s]; the same where that is no less."""
    rate = exchange.bytes_per_s if isinstance(exchange, Exchange) else exchange
    own = fleet.device.scale_out_bytes_per_s
    if rate is None or rate >= own * (1 - ROUNDING):
        return fleet
    return replace(fleet, device=replace(fleet.device, scale_out_bytes_per_s=rate))
