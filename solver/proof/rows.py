"""The rows: least rent, or the largest multiple of the mix, over goods at their most favourable rates, solved by HiGHS.

Rows demand no more than every plan keeps: service, modes, hand-over, splits, and that devices, hosts and domains have
room (whole multiples of each size, which no packing exceeds). Survival, link loads and links between particular
domains are left out, so the optimum can lie below a true bound, never above.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import highspy
import numpy as np

from solver.cost.instance import Instance
from solver.proof.stock import Good, Stock, roles
from solver.space.profiles import Column
from topologies import DomainClass, HostProfile

INFINITY = highspy.kHighsInf


@dataclass(frozen=True)
class Use:
    """Replicas of one good; of one of its bands where those are priced."""

    good: Good
    variable: int
    band: Column | None = None


@dataclass(frozen=True)
class Answer:
    """What a solver says: a proven bound, and the values of its best solution (None if it has none)."""

    bound: float
    values: list[float] | None
    objective: float = math.nan


@dataclass
class Rows:
    """A mixed-integer program as it grows."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    rows: list[tuple[float, float, dict[int, float]]] = field(default_factory=list)

    def variable(self, high: float, cost: float = 0.0, whole: bool = True) -> int:
        """A new variable from 0 to ``high``."""
        self.cost.append(cost)
        self.low.append(0.0)
        self.high.append(high)
        self.whole.append(whole)
        return len(self.cost) - 1

    def row(self, terms: Mapping[int, float], low: float = -INFINITY, high: float = INFINITY) -> None:
        """``low <= sum of terms <= high``."""
        if terms:
            self.rows.append((low, high, dict(terms)))

    def solve(self, maximise: bool, seconds: float) -> Answer:
        """Bound and best solution."""
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.cost), len(self.rows)
        model.col_cost_, model.col_lower_ = np.array(self.cost), np.array(self.low)
        model.col_upper_ = np.array(self.high)
        model.row_lower_ = np.array([row[0] for row in self.rows])
        model.row_upper_ = np.array([row[1] for row in self.rows])
        model.integrality_ = [
            highspy.HighsVarType.kInteger if whole else highspy.HighsVarType.kContinuous for whole in self.whole
        ]
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.cumsum([0, *(len(row[2]) for row in self.rows)])
        matrix.index_ = np.array([index for row in self.rows for index in row[2]], np.int32)
        matrix.value_ = np.array([value for row in self.rows for value in row[2].values()])
        model.sense_ = highspy.ObjSense.kMaximize if maximise else highspy.ObjSense.kMinimize
        solver = _silent_solver()
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("mip_rel_gap", 1e-7)
        solver.setOptionValue("time_limit", max(seconds, 0.1))
        solver.passModel(model)
        solver.run()
        info, status = solver.getInfo(), solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return Answer(-math.inf if maximise else math.inf, None)
        values = list(solver.getSolution().col_value)
        found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        return Answer(float(info.mip_dual_bound), values if found else None, float(info.objective_function_value))


@dataclass
class Program:
    """The rows of one engine's stock.

    Attributes
    ----------
    bands: goods, by place in the stock, whose bands of replica counts are priced, with these bands.
    sure: count replicas at the rates that a plan may count on; goods without bands are left out.
    """

    instance: Instance
    stock: Stock
    bands: Mapping[int, Sequence[Column]]
    sure: bool = False
    rows: Rows = field(default_factory=Rows)
    uses: list[Use] = field(default_factory=list)

    @property
    def maximises(self) -> bool:
        """Whether as much as possible is served, rather than the demand for the least rent."""
        return self.instance.scenario.objective == "throughput"

    def solve(self, seconds: float) -> Answer:
        """Write every row, then solve."""
        self._replicas()
        level = self.rows.variable(INFINITY, cost=1.0, whole=False) if self.maximises else None
        self._service(level)
        self._room()
        return self.rows.solve(self.maximises, seconds)

    def _replicas(self) -> None:
        """Replicas of each good; of a priced one in one band at most a pool, and no more pools than allowed."""
        pools: dict[tuple[int, str], dict[int, float]] = {}
        for place, good in enumerate(self.stock.goods):
            if place not in self.bands:
                if not self.sure:
                    self.uses.append(Use(good, self.rows.variable(good.most)))
                continue
            for band in self.bands[place]:
                replicas, used = self.rows.variable(band.high), self.rows.variable(1.0)
                self.rows.row({replicas: 1.0, used: -float(band.high)}, high=0.0)
                self.rows.row({replicas: 1.0, used: -float(band.low)}, low=0.0)
                pools.setdefault((good.group, good.role), {})[used] = 1.0
                self.uses.append(Use(good, replicas, band))
        for terms in pools.values():
            self.rows.row(terms, high=float(self.instance.scenario.options.max_pools))

    def _rate(self, use: Use) -> float:
        if use.band is None:
            return use.good.reach
        return use.band.rate if self.sure else use.band.best_rate

    def _service(self, level: int | None) -> None:
        """Each promise is served unified, or by prefill and decode of one split and one connection."""
        allowed = roles(self.instance)
        for group in self.instance.groups:
            here = [use for use in self.uses if use.good.group == group.index]
            asked = group.requests_per_s
            apart = self.rows.variable(1.0 if "prefill" in allowed else 0.0)
            for role in allowed:
                mine = [use for use in here if use.good.role == role]
                capacity = {use.variable: self._rate(use) for use in mine}
                if level is None:
                    # capacity >= asked (1 - apart) where unified, asked apart otherwise
                    sign, least = (asked, asked) if role == "unified" else (-asked, 0.0)
                    self.rows.row(capacity | {apart: sign}, low=least)
                else:
                    most = sum(self._rate(use) * use.good.most for use in mine) + asked
                    share = self.rows.variable(most / asked, whole=False)
                    self.rows.row(capacity | {share: -asked}, low=0.0)
                    # level <= share unless the other mode serves
                    self._unless(level, share, apart, role == "unified")
                for use in mine:
                    most = float(use.good.most)
                    if role == "unified":
                        self.rows.row({use.variable: 1.0, apart: most}, high=most)
                    else:
                        self.rows.row({use.variable: 1.0, apart: -most}, high=0.0)
            if "unified" not in allowed:
                self.rows.low[apart] = 1.0
            self._together(here, apart)

    def _unless(self, level: int, share: int, apart: int, unified: bool) -> None:
        """``level <= share``, or the other mode is chosen."""
        most = 1e4 + self.rows.high[share]
        if unified:
            self.rows.row({level: 1.0, share: -1.0, apart: -most}, high=0.0)
        else:
            self.rows.row({level: 1.0, share: -1.0, apart: most}, high=most)

    def _together(self, here: Sequence[Use], apart: int) -> None:
        """Prefill and decode pools share a split, and a connection on which all of them are."""
        both = [use for use in here if use.good.role != "unified"]
        splits = {number: self.rows.variable(1.0) for number in sorted({use.good.split for use in both})}
        if len(splits) > 1:
            self.rows.row(dict.fromkeys(splits.values(), 1.0), high=1.0)
            for use in both:
                self.rows.row({use.variable: 1.0, splits[use.good.split]: -float(use.good.most)}, high=0.0)
        joined = self.stock.handover
        if joined.free or not both:
            return
        chosen = [self.rows.variable(1.0) for _ in joined.connections]
        self.rows.row(dict.fromkeys(chosen, 1.0) | {apart: -1.0}, high=0.0)
        for use in both:
            able = {
                variable: -float(use.good.most)
                for variable, connection in zip(chosen, joined.connections, strict=True)
                if use.good.handover in connection.classes(use.good.role)
            }
            self.rows.row({use.variable: 1.0} | able, high=0.0)

    def _room(self) -> None:
        """Devices, hosts and domains of each kind, and what renting them costs."""
        scenario = self.instance.scenario
        for fleet in self.instance.fleets:
            mine = [use for use in self.uses if use.good.footprint.device == fleet.device.name]
            usd = self.instance.usd_per_hour(fleet.device.name)
            paid = 0.0 if self.maximises or scenario.owned else usd
            by_device, by_host, by_domain = (paid * (scenario.billing == unit) for unit in ("device", "host", "domain"))
            if by_device:
                for use in mine:
                    self.rows.cost[use.variable] = by_device * use.good.footprint.devices
            domains = [(c, self.rows.variable(c.count, by_domain * _rented(c))) for c in fleet.classes]
            hosts = [
                (c, self.rows.variable(c.count * len(c.profile.hosts), by_host * min(map(_part_of_rent, c.profile.hosts))))
                for c in fleet.classes
            ]
            for (c, domain), (_, host) in zip(domains, hosts, strict=True):
                self.rows.row({host: 1.0, domain: -float(len(c.profile.hosts))}, high=0.0)
                self.rows.row({domain: 1.0, host: -1.0}, high=0.0)
            for size in sorted({1, *(use.good.footprint.size for use in mine)}):
                held = {u.variable: float(u.good.footprint.domains * (u.good.footprint.size // size)) for u in mine}
                self.rows.row(held | {v: -float(c.size // size) for c, v in domains}, high=0.0)
            for part in sorted({1, *(use.good.footprint.per_host for use in mine)}):
                held = {u.variable: _parts(u.good, part) for u in mine}
                room = {v: -float(max(c.profile.devices_per_host) // part) for c, v in hosts}
                self.rows.row(held | room, high=0.0)
        if scenario.constraints.max_devices is not None:
            devices = {use.variable: float(use.good.footprint.devices) for use in self.uses}
            self.rows.row(devices, high=float(scenario.constraints.max_devices))


def _silent_solver() -> highspy.Highs:
    """A solver that prints nothing: its banner goes straight to the process's output, before it can be told."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.silent()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
    return solver


def _part_of_rent(host: HostProfile) -> float:
    """Devices that a domain pays for at least when it uses a host: of one with other domains on it, its part."""
    return host.rented * host.devices / host.neighbours


def _rented(domain: DomainClass) -> int:
    """Devices paid for when a domain is rented."""
    return sum(host.rented for host in domain.profile.hosts)


def _parts(good: Good, part: int) -> float:
    """Whole multiples of a part of a host that a replica takes."""
    footprint = good.footprint
    return float(footprint.domains * footprint.hosts * (footprint.per_host // part))
