"""Least cost per token at every speed a user may be promised, and where a price is crossed.

Speeds lie on one lattice, :data:`STEP` apart, that ends at the fastest speed at which a replica serves one sequence; it
belongs to the scenario and not to the number of points that are drawn. A crossing is found by halving a bracket on the
lattice, so that it is the same from whichever points the search starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from solver.cost.instance import Instance
from solver.cost.pool.mix import Mix
from solver.cost.pool.most import fullest
from solver.cost.pool.promise import Promise
from solver.engines import engine_rules
from solver.errors import BadInput
from solver.optimize.layout.market import market
from solver.plan import Plan
from solver.replica import Role
from solver.space.candidates import candidates, startable
from solver.study.curve.points import CostPoint, point_of, roofline
from solver.study.curve.solving import Solves
from solver.workload import Scenario
from solver.workload.measures import MEASURES, TPOT_P95

#: Neighbours on the lattice; two of them hold a crossing that is known to 1 %.
STEP = 1.005
#: The slowest point is so many times slower than the fastest, but no slower than a reader reads.
SPAN = 16.0
SLOWEST_TOKENS_PER_S = 4.0
#: The lattice ends so far below the speed at which a replica serves but one sequence.
MARGIN = 1.02
#: A tier is standard where it costs at most so much more than the cheapest.
STANDARD = 1.1


@dataclass(frozen=True)
class PriceCrossing:
    """Where a price is crossed.

    Attributes
    ----------
    usd: the price. served: the fastest speed with a plan at most so dear; None where every plan is dearer.
    beyond: the slowest speed that no plan at this price can promise; None where every speed is within it.
    """

    usd: float
    served: CostPoint | None
    beyond: CostPoint | None

    @property
    def apart(self) -> float:
        """How far the two are apart, as a share; infinite where one is missing."""
        return self.beyond.at / self.served.at - 1 if self.served and self.beyond else math.inf

    def __str__(self) -> str:
        if self.served is None:
            return f"no plan costs at most {self.usd:.4g} USD/Mtok"
        start = f"{self.served.at:.4g} tokens/s"
        if self.beyond is None:
            return f"{start}, the fastest at all"
        if self.apart <= 0.011:
            return start
        cause = self.beyond.because or "no bound"
        if self.served.gap is not None and self.beyond.usd is not None:
            cause = f"a gap of {self.beyond.gap or 0.0:.1%} hides what lies between"
        return f"{start} at least and less than {self.beyond.at:.4g}: {cause}"


@dataclass
class SpeedCurve:
    """Costs at speeds of one scenario, solved as they are asked for."""

    instance: Instance
    solves: Solves
    fastest: float
    rungs: int
    known: dict[int, CostPoint] = field(default_factory=dict)

    @classmethod
    def of(cls, scenario: Scenario, solves: Solves) -> SpeedCurve:
        """A curve of which nothing is known yet.

        Raises
        ------
        BadInput: no replica fits on the cluster.
        """
        instance = Instance.of(scenario, solves.folder)
        fastest = 1 / (least_tpot_s(instance) * MARGIN)
        slowest = max(fastest / SPAN, min(SLOWEST_TOKENS_PER_S, fastest / 2))
        return cls(instance, solves, fastest, math.floor(math.log(fastest / slowest) / math.log(STEP)))

    def speed(self, rung: int) -> float:
        """Tokens per second of each user at a rung, the slowest being rung 0."""
        return self.fastest * STEP ** (rung - self.rungs)

    def rung(self, tokens_per_s: float) -> int:
        """The slowest rung that is at least so fast, as near as rounding lets."""
        return math.ceil(self.rungs + math.log(tokens_per_s / self.fastest) / math.log(STEP) - 1e-6)

    def solve(self, rungs: Iterable[int]) -> list[CostPoint]:
        """Points at some rungs."""
        missing = [rung for rung in dict.fromkeys(rungs) if rung not in self.known]
        wanted = [at_speed(self.instance.scenario, self.speed(rung)) for rung in missing]
        for rung, scenario, answer in zip(missing, wanted, self.solves.answers(wanted), strict=True):
            at = self.speed(rung)
            if isinstance(answer, Plan):
                self.known[rung] = point_of(answer, at)
            else:
                floor = roofline(replace(self.instance, scenario=scenario))
                self.known[rung] = CostPoint(
                    at, floor=floor, because=answer.because, bound=math.inf if answer.proven else None
                )
        return [self.known[rung] for rung in rungs]

    def drawn(self, points: int) -> tuple[CostPoint, ...]:
        """So many points, evenly in logarithms; a plan that keeps a faster promise keeps a slower one."""
        rungs = [round(place) for place in np.linspace(0, self.rungs, points)]
        return self._consistent(self.solve(rungs))

    @property
    def cheapest(self) -> CostPoint:
        """The slowest speed, which no faster one undercuts.

        Raises
        ------
        BadInput: not even that can be served.
        """
        (found,) = self.solve([0])
        if found.usd is None:
            raise BadInput(f"curve: not even {found.at:.3g} tokens/s can be served: {found.because}")
        return found

    def standard(self) -> CostPoint:
        """The fastest speed that costs hardly more than the cheapest."""
        found = self.crossing(STANDARD * (self.cheapest.usd or math.inf)).served
        assert found is not None, "the cheapest itself is within its price"
        return found

    def crossing(self, usd: float) -> PriceCrossing:
        """Where a price is crossed, to a rung, or to what the gaps of the solves leave open."""
        served = self._last(lambda point: point.usd is not None and point.usd <= usd * (1 + 1e-9))
        within = self._last(lambda point: point.bound is None or point.bound <= usd * (1 + 1e-9))
        if served < 0:
            return PriceCrossing(usd, None, self.known.get(0))
        beyond = max(served, within) + 1
        return PriceCrossing(usd, self.known[served], self.solve([beyond])[0] if beyond <= self.rungs else None)

    def fast(self, standard: CostPoint, ratio: float) -> CostPoint:
        """The tier that is so many times as fast as another; without a plan where nothing is."""
        at = ratio * standard.at
        if at > self.fastest:
            return CostPoint(at, because=f"a replica of this LLM promises at most {self.fastest:.4g} tokens/s here")
        return self.solve([self.rung(at)])[0]

    def _last(self, holds: Callable[[CostPoint], bool]) -> int:
        """The fastest rung where something holds that holds on all slower ones; -1 where it holds on none."""
        if not holds(self.solve([0])[0]):
            return -1
        low = max(rung for rung, point in self.known.items() if holds(point))
        high = min((rung for rung, point in self.known.items() if rung > low and not holds(point)), default=None)
        if high is None:
            if holds(self.solve([self.rungs])[0]):
                return self.rungs
            high = self.rungs
        while high - low > 1:
            middle = (low + high) // 2
            if holds(self.solve([middle])[0]):
                low = middle
            else:
                high = middle
        return low

    def _consistent(self, points: list[CostPoint]) -> tuple[CostPoint, ...]:
        """A plan that keeps a faster promise keeps a slower one, and a bound at a slower one holds for a faster one."""
        kept: list[CostPoint] = []
        for point in reversed(points):
            better = kept[-1] if kept else None
            if better is not None and better.usd is not None and (point.usd is None or better.usd < point.usd):
                point = replace(better, at=point.at, bound=point.bound, floor=point.floor)
            kept.append(point)
        bound, result = 0.0, []
        for point in reversed(kept):
            if point.bound is not None and math.isfinite(point.bound):
                bound = max(bound, point.bound)
            result.append(point if point.usd is None else replace(point, bound=min(bound, point.usd)))
        return tuple(result)


def at_speed(scenario: Scenario, tokens_per_s: float) -> Scenario:
    """The scenario with every class promised a speed."""
    free = {measure.field: None for measure in MEASURES if measure.quantity == "tpot"}
    slo = scenario.slo.model_copy(update=free | {TPOT_P95.field: 1 / tokens_per_s})
    classes = [
        c if c.slo is None else c.model_copy(update={"slo": c.slo.model_copy(update=free)})
        for c in scenario.traffic.classes
    ]
    traffic = scenario.traffic.model_copy(update={"classes": tuple(classes)})
    return scenario.model_copy(update={"slo": slo, "traffic": traffic})


def least_tpot_s(instance: Instance) -> float:
    """Least TPOT that a replica can promise while it serves one sequence or more in the mean [s]; no point is faster.

    Raises
    ------
    BadInput: no replica fits on the cluster.
    """
    need = market(instance).needs[0]
    role: Role = "decode" if need.disaggregated else "unified"
    engines = instance.scenario.engines
    least = min((_fastest(instance, engine, role) for engine in engines), default=math.inf)
    if not math.isfinite(least):
        raise BadInput(f"curve: no replica of {instance.llm.name} fits on this cluster")
    return least


def _fastest(instance: Instance, engine: str, role: Role) -> float:
    """Least TPOT at which any candidate of a role keeps a sequence busy, by bisection."""
    mix = Mix.of([c for group in instance.groups for c in group.classes])
    rules, least = engine_rules(engine, instance.scenario.engine_version), math.inf
    for fleet in instance.fleets:
        calibration, _ = instance.calibration(engine, fleet.device.name)
        constraints = instance.scenario.constraints
        started = startable(
            instance.llm, fleet, rules, role, constraints, memory_fraction=instance.scenario.options.memory_fraction
        )
        found, _ = candidates(started, calibration, mix, constraints, instance.longest)
        if found is None:
            continue
        one, low, high = np.ones(len(found)), 1e-4, 1.0
        while high / low > MARGIN:
            middle = math.sqrt(low * high)
            service = fullest(role, found.replicas, one, mix, Promise({TPOT_P95: middle}), found.limit).service
            if (service.batch * found.replicas.work.dp >= 1).any():
                high = middle
            else:
                low = middle
        least = min(least, high)
    return least


