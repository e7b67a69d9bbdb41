"""Promises that hold at once with the confidence that the scenario asks for.

Pools are priced so that each keeps its own part in a share of the draws, and the plan is re-priced under all of them at once:
where all promises hold together in too few, pools must keep theirs in more. The twin of every solve prices at what no plan of
that confidence escapes (:mod:`solver.space.certainty`), so its bound holds for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

from solver.optimize.assembly.assemble import with_bound
from solver.optimize.feedback import Cheapest, Search
from solver.optimize.layout.search import NoLayout
from solver.plan import Plan

#: Solves of one search at most; confidence that exceeds what was asked for by so much is enough.
MOST_SOLVES, ENOUGH = 6, 0.015
#: The most that pools are asked for.
MOST_AIM = 0.996
_NORMAL = NormalDist()


def confident(search: Search) -> tuple[Search, Cheapest]:
    """The cheapest plan that keeps all promises at once in as many draws as the scenario asks for, and the search that found
    it; the offer is that of the first solve."""
    first = search.least()
    instance, found = search.instance, first.result
    if not instance.is_cautious:
        return search, first
    if isinstance(found, NoLayout):
        return search, replace(first, result=replace(found, proven=False))
    wanted, aim = instance.confidence, instance.confidence
    low, high = aim, MOST_AIM
    bound, most = found.objective.bound, found.prediction.confidence
    tried, now, best = search, first, None
    for _ in range(MOST_SOLVES):
        if isinstance(now.result, Plan):
            reached = now.result.prediction.confidence
            bound, most = max(bound, now.result.objective.bound), max(most, reached)
            if reached >= wanted:
                if best is None or _cost(now.result) < _cost(best[2]):
                    best = tried, now, now.result
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
        tried = replace(search, instance=replace(instance, aimed=aim))
        now = tried.least()
    if best is None:
        told = f"the most confident plan that was found keeps all promises at once in {most:.0%} of the draws"
        because = f"{told}; {wanted:.0%} are asked for. Loosen a promise or slo_confidence."
        return search, replace(first, result=NoLayout(proven=False, because=because))
    finder, cheapest, plan = best
    return finder, replace(cheapest, result=with_bound(plan, bound), offer=first.offer)


def _cost(plan: Plan) -> float:
    return plan.objective.usd_per_million_output_tokens


def _next(aim: float, reached: float, wanted: float, low: float, high: float) -> float:
    """What pools are asked for next: as much further as all promises together fell short, in standard deviations."""
    far = _NORMAL.inv_cdf(wanted + ENOUGH / 2) - _NORMAL.inv_cdf(min(max(reached, 0.01), 0.99))
    guess = _NORMAL.cdf(_NORMAL.inv_cdf(aim) + far)
    return guess if low < guess < high else (low + high) / 2
