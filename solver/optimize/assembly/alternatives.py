"""Structurally different plans that cost little more: what a benchmark on hardware should compare.

Each main decision of the best plan is forbidden in turn (a pool's shape, or the mode of service), and the program
solved again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from solver.plan import Alternative, Plan, Pool
from solver.replica import Parallelism, Role
from solver.workload import Scenario

#: Alternatives cost at most this much more than the best plan.
WITHIN = 0.05

Forbidden = frozenset[tuple[Role, Parallelism]]
Planner = Callable[[Scenario, Forbidden], Plan | None]


def alternatives(best: Plan, count: int, planner: Planner) -> tuple[Alternative, ...]:
    """Up to ``count`` different plans within 5 %, cheapest first.

    Parameters
    ----------
    planner: solves a scenario with some shapes forbidden; None where there is no plan.
    """
    found: dict[frozenset[tuple[Role, Parallelism]], Plan] = {}
    limit = best.objective.usd_per_million_output_tokens * (1 + WITHIN)
    for scenario, forbidden in _variations(best):
        plan = planner(scenario, forbidden)
        if (
            plan is not None
            and plan.objective.usd_per_million_output_tokens <= limit
            and structure(plan) != structure(best)
        ):
            found.setdefault(structure(plan), plan)
    ranked = sorted(found.values(), key=lambda plan: plan.objective.usd_per_million_output_tokens)
    return tuple(_record(best, plan) for plan in ranked[:count])


def structure(plan: Plan) -> Forbidden:
    """What makes two plans different for a person: the shapes of the pools in their roles."""
    return frozenset((pool.role, pool.parallelism.shape()) for pool in plan.pools)


def _variations(best: Plan) -> Iterator[tuple[Scenario, Forbidden]]:
    scenario = best.scenario
    shapes = sorted(structure(best), key=lambda entry: (-_devices(best, entry), entry))
    for entry in shapes:
        yield scenario, frozenset([entry])
    if len(shapes) > 1:
        yield scenario, frozenset(shapes)
    if scenario.options.disaggregate == "auto":
        apart = all(pool.role != "unified" for pool in best.pools)
        options = scenario.options.model_copy(update={"disaggregate": not apart})
        yield scenario.model_copy(update={"options": options}), frozenset()


def _devices(plan: Plan, entry: tuple[Role, Parallelism]) -> int:
    return sum(pool.devices for pool in plan.pools if (pool.role, pool.parallelism.shape()) == entry)


def _record(best: Plan, plan: Plan) -> Alternative:
    more = plan.objective.usd_per_million_output_tokens / best.objective.usd_per_million_output_tokens - 1
    pools = ", ".join(_words(pool) for pool in plan.pools)
    return Alternative(
        summary=f"{pools}: {more:+.2%} per token on {plan.devices} devices",
        usd_per_million_output_tokens=plan.objective.usd_per_million_output_tokens,
        usd_per_hour=plan.objective.usd_per_hour,
        pools=plan.pools,
    )


def _words(pool: Pool) -> str:
    shape = pool.parallelism.shape()
    return f"{pool.replicas} x {pool.role} of {shape.devices} {pool.device} ({shape})"
