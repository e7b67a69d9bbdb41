"""The frontier of a scenario: least cost per token at every speed a user may be promised, each point a layout of its own.

Every point is a whole solve: the promise on TPOT is set, the layout re-optimised, the plan checked, its gap stated. The
cluster is paid whole and sells as much of the mix as it can at that speed (objective ``throughput``), so that a price
compares layouts and not how well a given demand happens to fill hosts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from solver.cost.instance import Instance
from solver.cost.pool.mix import Mix
from solver.cost.pool.most import fullest
from solver.cost.pool.serving import Promise
from solver.economics.envelope import MeanRequest, Rented, least_usd
from solver.engines import engine_rules
from solver.errors import BadInput, SolverDefect
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.market import market
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.replica import Role
from solver.space.candidates import candidates, startable
from solver.workload import Scenario

#: The slowest point is so many times slower than the fastest, but no slower than a reader reads.
SPAN = 16.0
SLOWEST_TOKENS_PER_S = 4.0
#: Points stay so far below the speed at which a replica serves but one sequence.
MARGIN = 1.02
#: A tier is standard where it costs at most so much more than the cheapest.
STANDARD = 1.1


@dataclass(frozen=True)
class SpeedPoint:
    """One speed.

    Attributes
    ----------
    tokens_per_s: promised to 95 % of users (1 / TPOT). plan: the best layout; None where none was found.
    bound: least USD per million output tokens of any layout that keeps the promise. roofline: the same if only rooflines
    counted; None where even they are slower. because: why there is no plan.
    """

    tokens_per_s: float
    plan: Plan | None
    bound: float
    roofline: float | None
    because: str = ""

    @property
    def usd(self) -> float | None:
        """USD per million output tokens."""
        return None if self.plan is None else self.plan.objective.usd_per_million_output_tokens

    @property
    def gap(self) -> float | None:
        """How far above the bound at most."""
        return None if self.usd is None else max(0.0, 1 - self.bound / self.usd)

    def __str__(self) -> str:
        if self.usd is None or self.gap is None:
            return f"{self.tokens_per_s:.1f} tokens/s: no plan; {self.because}"
        beneath = "none" if self.roofline is None else f"{self.roofline:.4g}"
        return f"{self.tokens_per_s:.1f} tokens/s: {self.usd:.4g} USD/Mtok, gap {self.gap:.2%}, rooflines {beneath}"


@dataclass(frozen=True)
class PriceOfSpeed:
    """What a fast tier costs over a standard one, each on the layout that is best for it.

    Attributes
    ----------
    standard, fast: the two points; fast has no plan where nothing is so fast.
    """

    standard: SpeedPoint
    fast: SpeedPoint

    @property
    def speed_ratio(self) -> float:
        """How much faster."""
        return self.fast.tokens_per_s / self.standard.tokens_per_s

    @property
    def price_ratio(self) -> float | None:
        """How much dearer the cost makes it."""
        if self.fast.usd is None or self.standard.usd is None:
            return None
        return self.fast.usd / self.standard.usd

    def __str__(self) -> str:
        speeds = f"from {self.standard.tokens_per_s:.3g} to {self.fast.tokens_per_s:.3g} tokens/s"
        if self.price_ratio is None:
            return f"{self.speed_ratio:.3g} times the speed ({speeds}) is out of reach on this cluster"
        return f"{self.speed_ratio:.3g} times the speed ({speeds}) costs {self.price_ratio:.3g} times as much"


@dataclass(frozen=True)
class Frontier:
    """Points from slow to fast.

    Attributes
    ----------
    answer: standard against fast tier, where it was asked for.
    """

    points: tuple[SpeedPoint, ...]
    answer: PriceOfSpeed | None = None

    @property
    def standard(self) -> SpeedPoint:
        """The fastest point that costs hardly more than the cheapest.

        Raises
        ------
        BadInput: no point has a plan.
        """
        served = [point for point in self.points if point.usd is not None]
        if not served:
            raise BadInput("frontier: no speed was found at which the scenario can be served")
        least = min(point.usd or math.inf for point in served)
        return max(
            (point for point in served if (point.usd or math.inf) <= STANDARD * least), key=lambda p: p.tokens_per_s
        )

    def curves(self) -> dict[str, list[tuple[float, float | None]]]:
        """Cost against speed: of the best layouts, of the bound, and of the pure rooflines."""
        return {
            "best layout of each speed": [(p.tokens_per_s, p.usd) for p in self.points],
            "no layout costs less": [(p.tokens_per_s, p.bound if p.plan else None) for p in self.points],
            "pure rooflines": [(p.tokens_per_s, p.roofline) for p in self.points],
        }

    def fastest_within(self, price_ratio: float) -> SpeedPoint:
        """The fastest point that costs at most so many times the standard one."""
        limit = price_ratio * (self.standard.usd or math.inf) * (1 + 1e-9)
        return max((p for p in self.points if p.usd is not None and p.usd <= limit), key=lambda p: p.tokens_per_s)


def frontier(
    scenario: Scenario,
    folder: Path = Path("."),
    points: int = 20,
    effort: Effort | None = None,
    speed_ratio: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Frontier:
    """Solve a scenario at speeds evenly spaced in logarithms, from slow to the fastest that a replica can be.

    Parameters
    ----------
    effort: of each solve; its workers are processes that solve points side by side, one thread each.
    speed_ratio: also solve the tier that is so many times as fast as the standard one.
    progress: called with points done and points in all.

    Raises
    ------
    BadInput: fewer than two points, or a ratio that is no speed-up.
    """
    if points < 2:
        raise BadInput(f"frontier: at least 2 points make a curve, not {points}")
    if speed_ratio is not None and speed_ratio <= 1:
        raise BadInput(
            f"frontier: a fast tier is faster than the standard one; the ratio {speed_ratio:g} must exceed 1"
        )
    whole = scenario.model_copy(update={"objective": "throughput"})
    instance = Instance.of(whole, folder)
    fastest = 1 / (least_tpot_s(instance) * MARGIN)
    speeds = [
        float(s) for s in np.geomspace(max(fastest / SPAN, min(SLOWEST_TOKENS_PER_S, fastest / 2)), fastest, points)
    ]
    found = Frontier(_consistent(_solved(instance, folder, speeds, effort or Effort(), progress)))
    if speed_ratio is None:
        return found
    fast = speed_ratio * found.standard.tokens_per_s
    if fast > fastest:
        extra = SpeedPoint(fast, None, math.inf, roofline(instance, fast))
    else:
        (extra,) = _solved(instance, folder, [fast], effort or Effort(), None)
    return replace(found, answer=PriceOfSpeed(found.standard, extra))


def at_speed(scenario: Scenario, tokens_per_s: float) -> Scenario:
    """The scenario with every class promised a speed."""
    slo = scenario.slo.model_copy(update={"tpot_p95_s": 1 / tokens_per_s})
    classes = [
        c if c.slo is None else c.model_copy(update={"slo": c.slo.model_copy(update={"tpot_p95_s": None})})
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
        raise BadInput(f"frontier: no replica of {instance.llm.name} fits on this cluster")
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
            service = fullest(role, found.replicas, one, mix, Promise(tpot=middle), found.limit).service
            if (service.batch * found.replicas.work.dp >= 1).any():
                high = middle
            else:
                low = middle
        least = min(least, high)
    return least


def roofline(instance: Instance, tokens_per_s: float) -> float | None:
    """USD per million output tokens on the envelope of rooflines at a speed; None where even they are slower."""
    classes = [c for group in instance.groups for c in group.classes]
    mix = Mix.of(classes)
    drafts = instance.scenario.speculation
    accepted = 1 + sum(math.prod(drafts.acceptance[: i + 1]) for i in range(len(drafts.acceptance))) if drafts else 1.0
    demand = MeanRequest(float(mix.mean(mix.prompt)), float(mix.context), mix.mean_output, float(accepted))
    rented = [Rented(f.device, f.devices, instance.usd_per_hour(f.device.name)) for f in instance.fleets]
    return least_usd(instance.llm, demand, rented, tokens_per_s)


def _solved(
    instance: Instance,
    folder: Path,
    speeds: Sequence[float],
    effort: Effort,
    progress: Callable[[int, int], None] | None,
) -> list[SpeedPoint]:
    """The point of every speed, several processes at once where there are workers."""
    quiet = replace(effort, workers=1, progress=None)
    jobs = [(at_speed(instance.scenario, speed), quiet, folder) for speed in speeds]
    points = []
    for speed, found in zip(speeds, _outcomes(jobs, min(effort.workers, len(jobs))), strict=True):
        beneath = roofline(instance, speed)
        if isinstance(found, Plan):
            points.append(SpeedPoint(speed, found, found.objective.bound, beneath))
        else:
            points.append(SpeedPoint(speed, None, math.inf, beneath, found))
        if progress is not None:
            progress(len(points), len(jobs))
    return points


def _outcomes(jobs: Sequence[tuple[Scenario, Effort, Path]], processes: int) -> Iterator[Plan | str]:
    if processes == 1:
        yield from map(_outcome, jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_outcome, jobs)


def _outcome(job: tuple[Scenario, Effort, Path]) -> Plan | str:
    """The plan of one point, or why there is none: a hole in the curve must not cost the other points."""
    try:
        outcome = solve_scenario(*job)
    except SolverDefect as defect:
        return f"a defect of rackplan: {defect}"
    return outcome.found or outcome.reason


def _consistent(points: Sequence[SpeedPoint]) -> tuple[SpeedPoint, ...]:
    """A plan that keeps a faster promise keeps a slower one, and a bound at a slower one holds for a faster one."""
    best: Plan | None = None
    kept = []
    for point in reversed(points):
        if best is None or (point.plan is not None and _usd(point.plan) <= _usd(best)):
            best = point.plan
        kept.append(replace(point, plan=best, because="" if best else point.because))
    bound, result = 0.0, []
    for point in reversed(kept):
        if math.isfinite(point.bound):
            bound = max(bound, point.bound)
        result.append(replace(point, bound=bound if point.plan is not None else math.inf))
    return tuple(result)


def _usd(plan: Plan) -> float:
    return plan.objective.usd_per_million_output_tokens
