"""From where on a plan becomes cheaper or dearer: breakpoints of promises and load, found by halving brackets.

Every point is a solve of its own; all of them share one budget of time, and a bracket that it leaves open is told as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from solver.optimize.arithmetic.run import Deadline, Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import SLO, Scenario
from solver.workload.measures import MEASURES
from topologies.units import show_seconds

#: How far a promise is loosened, and the load is raised, at most.
MOST_LOOSER, MOST_LOAD = 4.0, 4.0
#: A bracket whose ends are this near, in proportion, is a point.
NARROW = 1.03
#: No single solve gets more of the whole budget.
MOST_SHARE = 0.25


class Budget:
    """Solves under one deadline."""

    def __init__(self, effort: Effort, solve: Callable[[Scenario, Effort], Outcome] = solve_scenario) -> None:
        self.effort = effort.started()
        self._most_s, self._solve = MOST_SHARE * effort.time_limit_s, solve

    @property
    def clock(self) -> Deadline:
        """What is left."""
        return self.effort.clock or Deadline()

    @property
    def spent(self) -> bool:
        """Whether nothing is left for another solve."""
        return self.clock.left_s() < 0.2

    def outcome(self, scenario: Scenario) -> Outcome:
        """What the time allows: a plan, the proof that there is none, or neither."""
        if self.spent:
            return Outcome("unknown", None, "no time was left")
        seconds = min(self.clock.left_s(), self._most_s)
        part = Effort(seconds, self.effort.workers, self.effort.seed, self.effort.gap, clock=Deadline(seconds, self.clock))
        return self._solve(scenario, part)


@dataclass(frozen=True)
class Axis:
    """A quantity of a scenario that can be scaled.

    Attributes
    ----------
    what: in words; unit: how a factor reads as a value.
    at: the scenario with the quantity times a factor.
    most: largest factor that is tried.
    cheaper: whether a larger factor can only make plans cheaper; else only dearer.
    """

    what: str
    show: Callable[[float], str]
    at: Callable[[float], Scenario]
    most: float
    cheaper: bool


@dataclass(frozen=True)
class Breakpoint:
    """Where the cost changes along an axis.

    Attributes
    ----------
    low, high: factors between which it lies; equal to the largest factor where nothing changes up to there.
    before, after: cost on both sides, in ``unit``; ``after`` is None where nothing changes, infinite where no plan exists.
    """

    axis: Axis
    low: float
    high: float
    before: float
    after: float | None
    unit: str

    @property
    def saving(self) -> float:
        """Share of the cost that the far side spares; negative where it is dearer."""
        return 0.0 if self.after is None or math.isinf(self.after) or not self.before else 1 - self.after / self.before

    def sentence(self) -> str:
        """The breakpoint in one sentence."""
        what, show = self.axis.what, self.axis.show
        if self.after is None:
            return f"No {'looser ' if self.axis.cheaper else 'more '}{what} up to {show(self.high)} changes the cost."
        place = f"at {show(self.high)}" if self.high <= self.low * NARROW else f"between {show(self.low)} and {show(self.high)}"
        if math.isinf(self.after):
            return f"No plan serves {what} {place}: this cluster is full."
        verb = "Cheaper" if self.axis.cheaper else "Dearer"
        return f"{verb} from {what} {place} on: {self.before:.4g} -> {self.after:.4g} {self.unit}."

    def to_json(self) -> dict[str, object]:
        """Numbers and words."""
        return {
            "what": self.axis.what,
            "low": self.axis.show(self.low),
            "high": self.axis.show(self.high),
            "before": self.before,
            "after": None if self.after is None or math.isinf(self.after) else self.after,
            "unit": self.unit,
        }


def axes(plan: Plan) -> Iterator[Axis]:
    """Every promise that was made, and the load."""
    scenario = plan.scenario
    for measure in MEASURES:
        limits = [limit for slo in _promises(scenario) if (limit := slo.limit(measure)) is not None]
        if limits:
            yield Axis(str(measure), _seconds(min(limits)), _looser(scenario, measure.field), MOST_LOOSER, cheaper=True)
    if scenario.objective == "cost":
        total = math.fsum(c.requests_per_s for c in scenario.traffic.classes)
        yield Axis("requests/s", lambda factor: f"{total * factor:.4g}", _more(scenario), MOST_LOAD, cheaper=False)


def breakpoint_of(plan: Plan, axis: Axis, budget: Budget) -> Breakpoint | None:
    """The first breakpoint of an axis, as near as the budget allows; None where not even its far end was solved.

    A cost has changed where it differs by more than the gaps of both plans leave open.
    """
    before, unit = figure(plan)
    after = _beyond(plan, budget.outcome(axis.at(axis.most)), axis)
    if after is None:
        return None
    if after == before:
        return Breakpoint(axis, axis.most, axis.most, before, None, unit)
    low, high = 1.0, axis.most
    while high > low * NARROW:
        middle = math.sqrt(low * high)
        found = _beyond(plan, budget.outcome(axis.at(middle)), axis)
        if found is None:
            break
        low, high, after = (middle, high, after) if found == before else (low, middle, found)
    return Breakpoint(axis, low, high, before, after, unit)


def _beyond(plan: Plan, outcome: Outcome, axis: Axis) -> float | None:
    """What an outcome costs: as before where nothing changed, infinite where no plan exists; None where it is not known."""
    before = figure(plan)[0]
    if outcome.found is None:
        return math.inf if outcome.status == "infeasible" and not axis.cheaper else None
    after, doubt = figure(outcome.found)[0], max(plan.objective.least_gap, outcome.found.objective.least_gap, 1e-3)
    changed = after < before * (1 - doubt) if axis.cheaper else after > before * (1 + doubt)
    return after if changed else before


def figure(plan: Plan) -> tuple[float, str]:
    """What a plan is judged by, and its unit: rent where the demand is given, cost per token where it is not; of the cheapest
    plan that was found, since how much a simpler one costs more says nothing of the scenario."""
    if plan.scenario.objective == "throughput":
        return plan.objective.least, "USD per million output tokens"
    return plan.objective.least_usd_per_hour, "USD/h"


def _promises(scenario: Scenario) -> Iterator[SLO]:
    yield scenario.slo
    yield from (c.slo for c in scenario.traffic.classes if c.slo is not None)


def _seconds(limit: float) -> Callable[[float], str]:
    return lambda factor: show_seconds(limit * factor)


def _looser(scenario: Scenario, field: str) -> Callable[[float], Scenario]:
    """The scenario with one promise of all classes that made it times a factor."""

    def less(slo: SLO, factor: float) -> SLO:
        limit = getattr(slo, field)
        return slo if limit is None else slo.model_copy(update={field: limit * factor})

    def at(factor: float) -> Scenario:
        classes = tuple(
            c if c.slo is None else c.model_copy(update={"slo": less(c.slo, factor)}) for c in scenario.traffic.classes
        )
        traffic = scenario.traffic.model_copy(update={"classes": classes})
        return scenario.model_copy(update={"slo": less(scenario.slo, factor), "traffic": traffic})

    return at


def _more(scenario: Scenario) -> Callable[[float], Scenario]:
    def at(factor: float) -> Scenario:
        classes = tuple(
            c.model_copy(update={"requests_per_s": c.requests_per_s * factor}) for c in scenario.traffic.classes
        )
        return scenario.model_copy(update={"traffic": scenario.traffic.model_copy(update={"classes": classes})})

    return at
