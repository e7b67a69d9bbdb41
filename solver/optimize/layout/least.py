"""What no layout beats by devices and demand alone, and which columns cannot be part of one that beats a known layout.

A linear program small enough for any number of columns, and where rent is to be least also all pairs of pools.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.glop import LinearModel
from solver.optimize.arithmetic.relaxation import MARGIN
from solver.optimize.layout.pairs import MOST_POOLS, Ints, least_cost
from solver.optimize.layout.program import Market, device_prices
from solver.replica import ROLES, Role
from solver.space.profiles import Column

Floats = NDArray[np.float64]

#: Columns of which all pairs are tried.
MOST_SERVERS = 20_000


@dataclass(frozen=True)
class Servers:
    """What could serve: one entry for each (N,).

    Attributes
    ----------
    group: promise; device: kind of device; devices: of one replica; low, most: replicas; rate: requests/s of one replica.
    """

    group: Sequence[int]
    role: Sequence[Role]
    device: Sequence[str]
    devices: Sequence[int]
    low: Sequence[int]
    most: Sequence[int]
    rate: Sequence[float]

    @classmethod
    def of(cls, columns: Sequence[Column], optimistic: bool = False) -> Servers:
        """Columns at their safe rate, or at their most favourable one."""
        return cls(
            [column.group for column in columns],
            [column.role for column in columns],
            [column.footprint.device for column in columns],
            [column.footprint.devices for column in columns],
            [column.low for column in columns],
            [column.high for column in columns],
            [column.best_rate if optimistic else column.rate for column in columns],
        )


@dataclass(frozen=True)
class Limit:
    """The optimum in USD per hour, or as a multiple of the mix.

    Attributes
    ----------
    value: which no layout beats.
    share: replicas of each in it (N,).
    loss: by how much the objective worsens at least if one is used, with its fewest replicas (N,).
    partner: the pool beside which each costs least (N,): itself where it stands alone, or where no pairs were tried.
    """

    value: float
    share: Floats
    loss: Floats
    partner: Ints

    def room(self, known: float) -> float:
        """By how much a layout may be worse than the limit and still better than one that is known."""
        return abs(known - self.value) + MARGIN * abs(self.value)

    def near(self, known: float, gap: float) -> bool:
        """Whether a known layout is within a relative gap of what no layout beats."""
        return abs(known - self.value) <= gap * max(abs(known), abs(self.value))


def least(market: Market, servers: Servers) -> Limit | None:
    """What no layout undercuts by devices and demand alone; None where even they cannot be met."""
    limit = _relaxed(market, servers)
    if limit is None or market.objective != "cost" or market.max_pools > MOST_POOLS or len(servers.rate) > MOST_SERVERS:
        return limit
    found = [_paired(market, servers, group) for group in range(len(market.needs))]
    value = math.fsum(cost for cost, _, _ in found)
    if math.isinf(value):
        return None
    loss = sum((more for _, more, _ in found), start=np.zeros(len(servers.rate)))
    partner = limit.partner + sum(other - limit.partner for _, _, other in found)
    known = max(limit.value, value)
    return Limit(known, limit.share, np.maximum(limit.value + limit.loss, value + loss) - known, partner)


def _paired(market: Market, servers: Servers, group: int) -> tuple[float, Floats, Ints]:
    """What serving a promise costs at least, how much more with each of its columns (N,; 0 for others'), and beside which
    pool (N,)."""
    need, prices = market.needs[group], device_prices(market)
    costs = np.full(len(servers.rate), np.inf)
    partner = np.arange(len(servers.rate))
    of_role: dict[Role, float] = {}
    where: dict[Role, NDArray[np.intp]] = {}
    for role in ROLES:
        here = [n for n, key in enumerate(zip(servers.group, servers.role, strict=True)) if key == (group, role)]
        if not here:
            where[role], of_role[role] = np.zeros(0, np.intp), math.inf
            continue
        costs[here], other = least_cost(
            np.array([servers.rate[n] for n in here], float),
            np.array([prices[servers.device[n]] * servers.devices[n] for n in here], float),
            np.array([servers.low[n] for n in here], float),
            np.array([servers.most[n] for n in here], float),
            need.requests_per_s,
            market.max_pools,
        )
        where[role], of_role[role] = np.array(here, np.intp), float(min(costs[here]))
        partner[here] = where[role][other]
    costs[where["prefill"]] += of_role["decode"]
    costs[where["decode"]] += of_role["prefill"]
    together = of_role["unified"] if need.unified else math.inf
    apart = of_role["prefill"] + of_role["decode"] if need.disaggregated else math.inf
    best = min(together, apart)
    more = np.zeros(len(costs))
    for members in where.values():
        more[members] = costs[members] - best if math.isfinite(best) else 0.0
    return best, more, partner


def _relaxed(market: Market, servers: Servers) -> Limit | None:
    """The linear program."""
    model, throughput = LinearModel(), market.objective == "throughput"
    prices = device_prices(market)
    costs = [prices[kind] * count for kind, count in zip(servers.device, servers.devices, strict=True)]
    replicas = model.variables(0, np.array(servers.most, float), np.zeros(len(costs)) if throughput else costs)
    devices = np.array(servers.devices, float)
    for kind in sorted({supply.device for supply in market.supplies}):
        mine = [supply for supply in market.supplies if supply.device == kind]
        here = [n for n, device in enumerate(servers.device) if device == kind]
        room = sum(supply.size * supply.count for supply in mine)
        model.row(-math.inf, room, replicas[here], devices[here])
    if market.max_devices is not None:
        model.row(-math.inf, market.max_devices, replicas, devices)
    level = model.variables(0, math.inf, [1.0] if throughput else [])
    for group, need in enumerate(market.needs):
        # A share of a promise is served by unified pools, the rest by both other roles.
        open_to = [math.inf if mode else 0.0 for mode in (need.unified, need.disaggregated)]
        together, apart = model.variables(0, open_to, [0.0, 0.0])
        asked = 0.0 if throughput else need.requests_per_s
        model.row(asked, math.inf, [together, apart, *level], [1.0, 1.0, *[-need.requests_per_s] * len(level)])
        for role, share in (("unified", together), ("prefill", apart), ("decode", apart)):
            here = [n for n, key in enumerate(zip(servers.group, servers.role, strict=True)) if key == (group, role)]
            model.row(-math.inf, 0.0, [*replicas[here], share], [*(-servers.rate[n] for n in here), 1.0])
    best = model.best(throughput)
    if best is None:
        return None
    share = best.values[replicas]
    loss = np.maximum(best.reduced_costs[replicas] * (-1.0 if throughput else 1.0), 0.0) * np.array(servers.low, float)
    return Limit(best.objective, share, loss, np.arange(len(share)))
