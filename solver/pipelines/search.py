"""The pipeline of greatest flow: stages by program, machines by name, bisection on the flow, a bound from covers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from solver.errors import NoPlan
from solver.pipelines.cover import CLOSE, flow_bound
from solver.pipelines.improve import improve
from solver.pipelines.machines import UnlikeMachines
from solver.pipelines.naming import Named, name_machines
from solver.pipelines.plan import RequestPipeline, flow_through
from solver.pipelines.regions import Regions
from solver.pipelines.stage_program import RegionGroup, SearchLimits, choose_stages

PRECISION = 1e-5
"""Relative width at which the bisection on the flow ends."""
LEAST_SHARE = 1e-3
"""Flows below this share of the bound are not looked for."""
RETRIES = 6
"""Programs for one flow: after the first they prefer slender stages, and refuse the crossings between regions for
which no machines were found."""


def place_pipeline(fleet: UnlikeMachines, limits: SearchLimits | None = None) -> RequestPipeline:
    """Give machines runs of layers so that most tokens flow; of equal flows the one through the fewest stages.

    The search begins with stages whose machines all hold the same layers, then moves single machines. The bound holds
    for any placement, stages or not; with a limit on the depth it is the one without.

    Raises
    ------
    NoPlan: no pipeline was found that lets a token through.

    >>> fleet = UnlikeMachines.connected(4, ["a", "b", "b"], {"a": {2: 9.0}, "b": {1: 20.0, 2: 5.0}})
    >>> plan = place_pipeline(fleet)
    >>> plan.tokens_per_s, plan.depth, plan.gap < 1e-5
    (9.0, 2, True)
    """
    limits = limits or SearchLimits()
    ceiling = flow_bound(fleet, precision=1e-3)
    found = _greatest(fleet, ceiling, limits)
    if found is None:
        raise NoPlan(_why(fleet, limits))
    bound = flow_bound(fleet, found.tokens_per_s, ceiling)
    better = improve(found, bound, limits.seed or 0, limits.depth)
    return replace(better, bound=max(bound, better.tokens_per_s))


def pipeline_curve(
    fleet: UnlikeMachines, limits: SearchLimits | None = None, least_share: float = 0.5
) -> list[RequestPipeline]:
    """Greatest flow for every depth, from the deepest that pays to the shallowest with ``least_share`` of its flow."""
    limits = limits or SearchLimits()
    best = place_pipeline(fleet, limits)
    curve = [best]
    while curve[-1].depth > 1:
        found = _greatest(fleet, curve[-1].tokens_per_s * (1 + PRECISION), replace(limits, depth=curve[-1].depth - 1))
        if found is None or found.tokens_per_s < least_share * best.tokens_per_s:
            break
        curve.append(replace(found, bound=best.bound))
    return curve


def serve_most(curve: Sequence[RequestPipeline]) -> RequestPipeline:
    """Of pipelines the one that serves most once the room for KV caches counts, the shallowest of equal ones.

    What counts is :attr:`RequestPipeline.served_tokens_per_s`.
    """
    return max(curve, key=lambda plan: (plan.served_tokens_per_s, -plan.depth))


def _greatest(fleet: UnlikeMachines, ceiling: float, limits: SearchLimits) -> RequestPipeline | None:
    """Bisection on the flow; what is found at one flow counts with the flow that it really has."""
    regions = Regions.of(fleet, ceiling)
    found: list[RequestPipeline] = []
    low, high = 0.0, ceiling
    while high - low > PRECISION * high and high > LEAST_SHARE * ceiling:
        middle = (low + high) / 2
        found += _attempts(regions, middle, limits)
        low = max([low, *(plan.tokens_per_s for plan in found)])
        if low < middle:
            high = middle
    if not found:
        return None
    found += _attempts(regions, low * (1 - CLOSE), limits)
    return max(found, key=lambda plan: (plan.tokens_per_s > low * (1 - 2 * CLOSE), -plan.depth, plan.tokens_per_s))


def _attempts(regions: Regions, tokens_per_s: float, limits: SearchLimits) -> Iterator[RequestPipeline]:
    """Pipelines meant to have a flow; the links between regions are known only once machines have names."""
    refused: frozenset[tuple[RegionGroup, RegionGroup]] = frozenset()
    for attempt in range(RETRIES):
        stages = choose_stages(regions, tokens_per_s, limits, refused, slender=attempt > 0)
        if stages is None:
            return
        plan = flow_through(
            regions.fleet, _runs(name_machines(regions, stages, tokens_per_s, (limits.seed or 0) + attempt))
        )
        if plan is not None and (limits.depth is None or plan.depth <= limits.depth):
            yield plan
        crossings = {(one, other) for one, other in itertools.pairwise(stages) if one.region != other.region}
        if (plan is not None and plan.tokens_per_s >= tokens_per_s * (1 - CLOSE)) or (attempt and not crossings):
            return
        refused |= crossings


def _runs(stages: Sequence[Named]) -> dict[int, tuple[int, int]]:
    """Layers of each machine when the stages hold them in this order."""
    runs: dict[int, tuple[int, int]] = {}
    first = 0
    for held, machines in stages:
        runs |= dict.fromkeys(machines, (first, first + held))
        first += held
    return runs


def _why(fleet: UnlikeMachines, limits: SearchLimits) -> str:
    room = sum(number * max(fleet.tokens_per_s[kind]) for kind, number in fleet.count.items())
    if room < fleet.layers:
        return f"{len(fleet.kinds)} machines have room for {room} layers; the LLM has {fleet.layers}"
    within = "" if limits.depth is None else f" of at most {limits.depth} stages"
    return f"no pipeline{within} was found whose links carry a token through all {fleet.layers} layers"
