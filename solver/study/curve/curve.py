"""``curve``: one call for every curve of the lecture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solver.cost.instance import Instance
from solver.errors import BadInput, UnknownName
from solver.plan import Plan
from solver.study.curve.held import HeldPool
from solver.study.curve.points import CostPoint, point_of, roofline
from solver.study.curve.solving import Solves
from solver.study.curve.speed import PriceCrossing, SpeedCurve
from solver.study.curve.variants import VARIATIONS
from solver.workload import Scenario

#: What can be varied: with the layout held, and with the layout decided anew at every point.
HELD = ("batch", "context", "batch,context")
SOLVED = ("speed", *VARIATIONS)
#: A bound that lies nearer to the cost than this would hide it in a drawing.
DRAWN_GAP = 0.02
AXES = (*SOLVED[:1], *HELD, *SOLVED[1:])
TITLES = {
    "speed": "output tokens/s of each user",
    "batch": "sequences of a replica",
    "context": "tokens that a sequence attends to",
    "batch,context": "sequences of a replica",
} | {name: variation.title for name, variation in VARIATIONS.items()}


@dataclass(frozen=True)
class TierPrice:
    """What a fast tier costs over a standard one, each on the layout that is best for it.

    Attributes
    ----------
    fast: has no plan where nothing is so fast. within: how fast a tier of ``price_ratio`` times the price is.
    """

    standard: CostPoint
    fast: CostPoint
    price_ratio: float
    within: PriceCrossing

    @property
    def speed_ratio(self) -> float:
        """How much faster."""
        return self.fast.at / self.standard.at

    @property
    def dearer(self) -> tuple[float, float] | None:
        """Least and most that the fast tier can cost over the standard one; None where nothing is so fast."""
        if self.fast.usd is None or self.standard.usd is None:
            return None
        bound = self.fast.bound if self.fast.bound is not None else 0.0
        return bound / self.standard.usd, self.fast.usd / self.standard.usd

    def lines(self) -> list[str]:
        """Both answers."""
        speeds = f"from {self.standard.at:.4g} to {self.fast.at:.4g} tokens/s"
        if self.dearer is None:
            first = f"{self.speed_ratio:.3g} times the speed ({speeds}) is out of reach: {self.fast.because}"
        else:
            low, high = self.dearer
            least = "" if high / max(low, 1e-12) < 1.01 else f" (no plan: less than {low:.3g}; the gap hides the rest)"
            first = f"{self.speed_ratio:.3g} times the speed ({speeds}) costs {high:.3g} times as much{least}"
            first += f": {self.standard.layout} against {self.fast.layout}"
        served = self.within.served
        ratio = served.at / self.standard.at if served else math.nan
        return [first, f"{self.price_ratio:g} times the price pays for {ratio:.3g} times the speed: {self.within}"]


@dataclass(frozen=True)
class CostCurve:
    """A curve.

    Attributes
    ----------
    over: what varies. points: in its order; of a map, those of all rows.
    tiers: the price of speed, over speed alone. notes: what a reader should know, a sentence each.
    """

    over: str
    points: tuple[CostPoint, ...]
    tiers: TierPrice | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Of the axis, with its unit."""
        return TITLES[self.over]

    def lines(self) -> dict[str, list[tuple[float, float | None]]]:
        """USD per million output tokens by what is drawn: of a map a line for every context."""
        if self.over == "batch,context":
            contexts = dict.fromkeys(point.figures["context"] for point in self.points if point.usd is not None)
            return {
                f"{context:,.0f} tokens of context": [
                    (p.at, p.usd) for p in self.points if p.usd is not None and p.figures["context"] == context
                ]
                for context in contexts
            }
        widest = max((p.gap for p in self.points if p.gap is not None), default=0.0)
        drawn: dict[str, list[tuple[float, float | None]]] = {"the engine": [(p.at, p.usd) for p in self.points]}
        if widest > DRAWN_GAP:
            drawn["no layout costs less"] = [(p.at, p.bound if p.usd is not None else None) for p in self.points]
        drawn |= {
            "the lecture's closed form": [(p.at, p.lecture) for p in self.points],
            "floor": [(p.at, p.floor) for p in self.points],
        }
        return {name: line for name, line in drawn.items() if any(value is not None for _, value in line)}


def curve(
    scenario: Scenario,
    over: str,
    points: int = 8,
    values: Sequence[float] = (),
    solves: Solves | None = None,
    plan: Plan | None = None,
    tiers: tuple[float, float] | None = None,
) -> CostCurve:
    """Vary one quantity of a scenario.

    Over batch and context the scenario is solved once and its decoding layout held; otherwise every point is a solve of
    its own, billed and checked as ``solve`` does.

    Parameters
    ----------
    over: one of :data:`AXES`.
    points: where no values are given. values: of the quantity, in its unit.
    solves: how points are solved, and where they are recorded.
    plan: whose layout is held; the best one of the scenario if left out.
    tiers: also price a tier so many times as fast, and say how fast one of so many times the price is (over speed).

    Raises
    ------
    UnknownName: no such quantity.
    BadInput: a quantity that the scenario does not have, or values outside of it.
    """
    if over not in AXES:
        raise UnknownName("quantity to vary", over[:40], AXES)
    if points < 2:
        raise BadInput(f"curve: at least 2 points make a curve, not {points}")
    if any(not (math.isfinite(value) and value > 0) for value in values):
        raise BadInput("curve: values are numbers above 0")
    run = solves or Solves()
    if over == "speed":
        return _over_speed(scenario, points, values, run, tiers)
    if over in HELD:
        return _held(scenario, over, points, values, run, plan)
    return _varied(scenario, over, points, values, run)


def _over_speed(
    scenario: Scenario, points: int, values: Sequence[float], solves: Solves, tiers: tuple[float, float] | None
) -> CostCurve:
    found = SpeedCurve.of(scenario, solves)
    if values and max(values) > found.fastest:
        raise BadInput(f"curve: no replica promises {max(values):g} tokens/s here; the fastest is {found.fastest:.4g}")
    if values:
        drawn = tuple(found.solve([min(max(found.rung(value), 0), found.rungs) for value in sorted(values)]))
    else:
        drawn = found.drawn(points)
    if tiers is None:
        return CostCurve("speed", drawn)
    standard = found.standard()
    within = found.crossing(tiers[1] * (standard.usd or math.inf))
    return CostCurve("speed", drawn, TierPrice(standard, found.fast(standard, tiers[0]), tiers[1], within))


def _varied(scenario: Scenario, over: str, points: int, values: Sequence[float], solves: Solves) -> CostCurve:
    instance, variation = Instance.of(scenario, solves.folder), VARIATIONS[over]
    usual = variation.values(instance, points)
    places = sorted(values) if values else usual
    scenarios = [variation.scenario(instance, value) for value in places]
    found = []
    for value, wanted, answer in zip(places, scenarios, solves.answers(scenarios), strict=True):
        known = variation.figures(instance, value)
        if isinstance(answer, Plan):
            point = point_of(answer, value)
            found.append(replace(point, figures={**point.figures, **known}))
        else:
            floor = roofline(Instance.of(wanted, solves.folder))
            found.append(CostPoint(value, floor=floor, figures=known, because=answer.because))
    return CostCurve(over, tuple(found), notes=_notes(scenario, over))


def _notes(scenario: Scenario, over: str) -> tuple[str, ...]:
    """What changes the answer and is easily missed."""
    if over == "hold" and scenario.billing == "device" and scenario.objective == "cost" and not scenario.owned:
        fields = ("dram_usd_per_GB_hour", "flash_usd_per_GB_hour")
        missing = [name for name in fields if name not in scenario.prices]
        if missing:
            return (f"under billing: device memory is rented by itself; without prices {', '.join(missing)} it is not offered",)
    return ()


def _held(
    scenario: Scenario, over: str, points: int, values: Sequence[float], solves: Solves, plan: Plan | None
) -> CostCurve:
    if plan is None:
        (answer,) = solves.answers([scenario])
        if not isinstance(answer, Plan):
            raise BadInput(f"curve: there is no layout to hold: {answer.because}")
        plan = answer
    pool = HeldPool(plan, Instance.of(plan.scenario, solves.folder))
    note = f"{pool.pool.name} of the plan is held: {pool.pool.parallelism.shape()} {pool.pool.device}, planned batch "
    note += f"{pool.planned_batch:,.0f} of {pool.most():,.0f} that its HBM holds"
    if over == "batch":
        found = pool.over_batch(sorted(values) or pool.batches(points))
    elif over == "context":
        found = pool.over_context(sorted(values) or pool.contexts(points))
    else:
        rows = pool.map(pool.batches(points), sorted(values) or pool.contexts(points))
        found = [
            replace(point, figures={"context": context, "batch": point.at, **point.figures})
            for context, row in rows.items()
            for point in row
        ]
    return CostCurve(over, tuple(found), notes=(note,))
