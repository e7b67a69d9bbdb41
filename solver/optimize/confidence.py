"""Promises that hold at once with the confidence that the scenario asks for.

Pools are priced so that each keeps its own part in a share of the draws, and the plan is re-priced under all of them at once:
where all promises hold together in too few, pools must keep theirs in more. The twin of every solve prices at what no plan of
that confidence escapes (:mod:`solver.space.certainty`), so its bound holds for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

from solver.optimize.assembly.assemble import with_bound
from solver.optimize.feedback import Search
from solver.optimize.layout.market import Offer
from solver.optimize.layout.search import NoLayout
from solver.plan import Plan

#: Solves of one search at most; confidence that exceeds what was asked for by so much is enough.
MOST_SOLVES, ENOUGH = 6, 0.015
#: The most that pools are asked for.
MOST_AIM = 0.996
_NORMAL = NormalDist()


def confident(search: Search) -> tuple[Plan | NoLayout, Offer]:
    """The best plan of a search that keeps all promises at once in as many draws as the scenario asks for, and what the first
    solve chose from."""
    found, offer = search.best()
    instance = search.instance
    if not instance.is_cautious or isinstance(found, NoLayout):
        return (replace(found, proven=False) if instance.is_cautious and isinstance(found, NoLayout) else found), offer
    wanted, aim = instance.confidence, instance.confidence
    low, high = aim, MOST_AIM
    bound, best, most = found.objective.bound, None, found.prediction.confidence
    for _ in range(MOST_SOLVES):
        if isinstance(found, Plan):
            reached = found.prediction.confidence
            bound, most = max(bound, found.objective.bound), max(most, reached)
            if reached >= wanted:
                best = found if best is None else min(best, found, key=_cost)
                high = aim
            else:
                low = aim
            if reached >= wanted and reached <= wanted + ENOUGH:
                break
            aim = _next(aim, reached, wanted, low, high)
        else:
            high, aim = aim, (low + aim) / 2
        if high - low < ENOUGH / 4 or search.effort.late:
            break
        found, _ = replace(search, instance=replace(instance, aimed=aim)).best()
    if best is None:
        told = f"the most confident plan that was found keeps all promises at once in {most:.0%} of the draws"
        return NoLayout(proven=False, because=f"{told}; {wanted:.0%} are asked for. Loosen a promise or slo_confidence."), offer
    return with_bound(best, bound), offer


def _cost(plan: Plan) -> float:
    return plan.objective.usd_per_million_output_tokens


def _next(aim: float, reached: float, wanted: float, low: float, high: float) -> float:
    """What pools are asked for next: as much further as all promises together fell short, in standard deviations."""
    far = _NORMAL.inv_cdf(wanted + ENOUGH / 2) - _NORMAL.inv_cdf(min(max(reached, 0.01), 0.99))
    guess = _NORMAL.cdf(_NORMAL.inv_cdf(aim) + far)
    return guess if low < guess < high else (low + high) / 2
