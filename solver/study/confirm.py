"""Closes the loop: replays a plan, and where a promise is missed tightens it for the pools at fault and solves again.

A missed TTFT is the fault of the pools that prefill, a missed TPOT of those that decode, so each promise is derated by
itself: the program is asked for ``limit x factor`` where the replay shows that ``limit`` is not enough. What comes back
is a plan of the scenario as it was, with the bound that was proven for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from statistics import fmean

from solver.check import violations
from solver.cost.instance import Instance
from solver.optimize.binding import binding
from solver.optimize.outcome import Outcome
from solver.optimize.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Confirmation, Plan
from solver.simulate import Report, Run, replay
from solver.workload import SLO, Scenario

#: Times that promises are tightened before the plan is returned as not confirmed.
MOST_ROUNDS = 6
#: Share by which a tightened limit stays below what would just have sufficed.
STEP = 0.005
#: The promises by their names in verdicts.
FIELDS = {
    "TTFT": "ttft_p95_s",
    "TPOT": "tpot_p95_s",
    "inter-token latency": "itl_p95_s",
    "end-to-end latency": "e2e_p95_s",
}

#: Rules whose sentences name a limit, which is not the one that was searched with.
_PROMISED = ("ttft_p95", "tpot_p95")

Derating = dict[tuple[SLO, str], float]


@dataclass(frozen=True)
class Trial:
    """How a plan is replayed.

    Attributes
    ----------
    seeds: of the replays; requests: recorded in each.
    """

    seeds: tuple[int, ...] = (101, 102, 103)
    requests: int = 20_000

    def reports(self, plan: Plan) -> list[Report]:
        """A replay for every seed."""
        return [replay(plan, Run(requests=self.requests, seed=seed)) for seed in self.seeds]


def confirm(
    scenario: Scenario,
    outcome: Outcome,
    effort: Effort | None = None,
    folder: Path = Path("."),
    trial: Trial | None = None,
    solve: Callable[..., Outcome] = solve_scenario,
) -> Outcome:
    """The outcome with a plan that keeps its promises in replay, or with the best one and what it misses.

    Parameters
    ----------
    outcome: of solving the scenario.
    folder: where relative paths in the scenario start.
    """
    if outcome.found is None:
        return outcome
    how, first = trial or Trial(), outcome.found
    plan, derating = first, Derating()
    for rounds in range(MOST_ROUNDS + 1):
        reports = how.reports(plan)
        missed = _missed(plan, reports, derating)
        confirmed = _with_confirmation(plan, first, reports, how, derating, not missed)
        if not missed or rounds == MOST_ROUNDS:
            break
        derating = derating | missed
        tighter = solve(tightened(first.scenario, derating), effort, folder).found
        if tighter is None:
            break
        plan = as_asked(tighter, first)
        if violations(plan):
            break
    return replace(outcome, status=confirmed.status, found=confirmed)


def tightened(scenario: Scenario, derating: Derating) -> Scenario:
    """The scenario with stricter promises; classes that share a promise go on sharing it."""

    def less(slo: SLO) -> SLO:
        changes = {field: getattr(slo, field) * factor for (of, field), factor in derating.items() if of == slo}
        return slo.model_copy(update=changes)

    classes = [
        c.model_copy(update={"slo": less(c.slo.over(scenario.slo) if c.slo else scenario.slo)})
        for c in scenario.traffic.classes
    ]
    return scenario.model_copy(update={"traffic": scenario.traffic.model_copy(update={"classes": tuple(classes)})})


def as_asked(plan: Plan, first: Plan) -> Plan:
    """A plan of the tightened scenario as one of the scenario itself, whose own bound still holds."""
    cost, bound = plan.objective.usd_per_million_output_tokens, first.objective.bound
    gap = max(1 - bound / cost, 0.0) if cost else 0.0
    status = "optimal" if gap <= first.scenario.options.gap else "feasible"
    objective = plan.objective.model_copy(update={"bound": min(bound, cost), "gap": gap})
    provenance = plan.provenance.model_copy(update={"inputs": first.provenance.inputs})
    asked = plan.model_copy(
        update={"scenario": first.scenario, "objective": objective, "status": status, "provenance": provenance}
    )
    told = binding(Instance.of(first.scenario), asked, dict.fromkeys(pool.name for pool in asked.pools))
    kept = [b for b in plan.binding if b.rule not in {other.rule for other in told} | set(_PROMISED)]
    return asked.model_copy(update={"binding": (*told, *kept)})


def _missed(plan: Plan, reports: Sequence[Report], derating: Derating) -> Derating:
    """For every promise that the replays break, the share of its limit that the program must be asked for next.

    A promise holds if every replay keeps it, and the mean over them with half of its 95 % confidence interval. If not,
    what the program is asked for falls in proportion, from what it was asked for or, if that is less, from what it
    predicts: a limit that does not bind would change nothing.
    """
    found: Derating = {}
    scenario = plan.scenario
    slos = {c.name: c.slo.over(scenario.slo) if c.slo else scenario.slo for c in scenario.traffic.classes}
    for together in zip(*(report.verdicts for report in reports), strict=True):
        one = together[0]
        likely = fmean(verdict.simulated_s for verdict in together)
        margin = fmean(verdict.margin_s for verdict in together) / len(together) ** 0.5
        likely += margin if isfinite(margin) else 0.0
        likely = max(likely, *(verdict.simulated_s for verdict in together))
        if likely > one.limit_s:
            key = slos[one.class_name], FIELDS[one.promise]
            predicted = getattr(plan.prediction.classes[one.class_name], key[1], one.limit_s)
            binds = min(derating.get(key, 1.0), predicted / one.limit_s)
            found[key] = min(found.get(key, 1.0), binds * max(one.limit_s / likely * (1 - STEP), 0.5))
    return found


def _with_confirmation(
    plan: Plan, first: Plan, reports: Sequence[Report], how: Trial, derating: Derating, kept: bool
) -> Plan:
    names = ("ttft_p50_s", "ttft_p95_s", "tpot_p50_s", "tpot_p95_s")
    classes = {
        name: {figure: fmean(getattr(r.classes[name], figure) for r in reports) for figure in names}
        for name in reports[0].classes
    }
    limits = {
        c.name: {field: factor for (slo, field), factor in derating.items() if slo == _slo(first.scenario, c.slo)}
        for c in first.scenario.traffic.classes
    }
    before = first.objective.usd_per_million_output_tokens
    record = Confirmation(
        kept=kept,
        seeds=how.seeds,
        requests=how.requests,
        simulated={figure: fmean(getattr(r.overall, figure) for r in reports) for figure in names},
        classes=classes,
        derating={name: found for name, found in limits.items() if found},
        cost_rise=plan.objective.usd_per_million_output_tokens / before - 1 if before else 0.0,
    )
    return plan.model_copy(update={"confirmation": record})


def _slo(scenario: Scenario, own: SLO | None) -> SLO:
    return own.over(scenario.slo) if own else scenario.slo
