"""The shortlist: the best plans of other structures, each solved by itself with its own bound.

Structures come from restrictions that a scenario may have (whether roles are apart, degrees that stay 1, domains of a
replica, mechanisms that were measured, devices that are left out), never from what a search happened to meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.support import untried
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.layout.losses import without
from solver.optimize.solve import without_reasons
from solver.plan import Plan, Rival
from solver.plan.rivals import APART, TOGETHER, is_apart, layout, needs
from solver.study.rivals import Decision
from solver.workload import Scenario

Solve = Callable[[Scenario, Effort, Path], Outcome]
#: Seconds without which no rival is begun.
LEAST_S = 0.5


def with_rivals(
    plan: Plan, count: int, effort: Effort | None = None, folder: Path = Path("."), solve: Solve = without_reasons
) -> Plan:
    """The plan with its rivals: structures that it does not have, the most telling first, until the time is up; and how good
    a choice each of them is by the same draws.

    Parameters
    ----------
    count: rivals at most.
    effort: its time limit, or what its clock has left, bounds everything together.
    folder: where relative paths in the scenario start.
    """
    effort = (effort or Effort()).started()
    wanted = list(structures(plan, folder))[:count]
    rivals, found = [], [plan]
    quiet = replace(effort, progress=None)
    for name, scenario in wanted:
        late = quiet.clock is not None and quiet.clock.left_s() < LEAST_S
        outcome = Outcome("unknown", None) if late else solve(scenario, quiet, folder)
        rivals.append(_rival(name, outcome))
        found += [outcome.found] if outcome.found is not None else []
    own, *others = Decision.of([Evidence(each, Instance.of(each.scenario, folder)) for each in found]).odds
    left = iter(others)
    told = [rival.model_copy(update={"odds": next(left)}) if rival.bound is not None else rival for rival in rivals]
    ranked = sorted(told, key=lambda r: (r.usd_per_million_output_tokens is None, r.usd_per_million_output_tokens or 0.0))
    return plan.model_copy(update={"rivals": tuple(ranked), "odds": own if others else None})


def structures(plan: Plan, folder: Path = Path(".")) -> Iterator[tuple[str, Scenario]]:
    """Structures that the plan does not have and its scenario leaves open: a name, and the scenario restricted to it."""
    scenario, pools = plan.scenario, plan.pools
    limits = scenario.constraints
    if scenario.options.disaggregate == "auto" and limits.roles is None:
        apart = is_apart(plan)
        yield (TOGETHER if apart else APART), _with(scenario, "options", disaggregate=not apart)
    if any(untried(pool.setup()) for pool in pools):
        yield "measured mechanisms only", _with(scenario, "constraints", measured_only=True)
    if any(pool.parallelism.pp > 1 for pool in pools):
        yield "no pipelines", _with(scenario, "constraints", forbid=(*limits.forbid, "pp"))
    if any(pool.domains_per_replica > 1 for pool in pools):
        yield "replicas within one domain", _with(scenario, "constraints", max_domains=1)
    yield from _without_kinds(plan, folder)
    if any(pool.parallelism.ep > 1 for pool in pools):
        yield "no expert parallelism", _with(scenario, "constraints", forbid=(*limits.forbid, "ep"))
    if len({(pool.role, pool.serves) for pool in pools}) < len(pools):
        yield "one shape for each role", _with(scenario, "options", max_pools=1)


def _without_kinds(plan: Plan, folder: Path) -> Iterator[tuple[str, Scenario]]:
    """Without each kind of device in use, and with fewer kinds, where the cluster has others."""
    cluster = Instance.of(plan.scenario, folder).cluster
    by_kind: dict[str, list[str]] = {}
    for name, data in cluster.nodes(data=True):
        if data["kind"] == "device" and data["healthy"]:
            by_kind.setdefault(str(data["device"]), []).append(str(name))
    if len(by_kind) < 2:
        return
    for kind in sorted({pool.device for pool in plan.pools}):
        yield f"without {kind}", without(plan.scenario, by_kind[kind], folder)


def _with(scenario: Scenario, part: str, **changes: Any) -> Scenario:
    """The scenario with some of its options or constraints changed."""
    return scenario.model_copy(update={part: getattr(scenario, part).model_copy(update=changes)})


def _rival(name: str, outcome: Outcome) -> Rival:
    plan = outcome.found
    if plan is None:
        return Rival(structure=name, status=outcome.status)
    o, p = plan.objective, plan.prediction
    return Rival(
        structure=name,
        status=plan.status,
        usd_per_million_output_tokens=o.usd_per_million_output_tokens,
        usd_per_hour=o.usd_per_hour,
        bound=o.bound,
        interval_80=o.interval_80,
        ttft_p95_s=p.ttft_p95_s,
        tpot_p95_s=p.tpot_p95_s,
        devices=plan.devices,
        layout=layout(plan),
        untried=tuple(dict.fromkeys(name for pool in plan.pools for name in untried(pool.setup()))),
        needs=tuple(needs(plan)),
    )
