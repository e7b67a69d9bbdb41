"""Solves a scenario: for every engine in question, with failures and alternatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import topologies
from solver.cost.instance import Instance, Sharing
from solver.experts.recorded import embedded
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.alternatives import Forbidden
from solver.optimize.assembly.alternatives import alternatives as different
from solver.optimize.assembly.assemble import with_bound
from solver.optimize.assembly.binding import price_of_survival, simplicity
from solver.optimize.assembly.explain import why_none
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.confidence import confident
from solver.optimize.feedback import Cheapest, Search
from solver.optimize.layout.losses import without
from solver.optimize.layout.search import NoLayout
from solver.optimize.layout.standing import standing
from solver.plan import Plan
from solver.replica import Engine
from solver.workload import Scenario
from topologies.collector import seldom

#: Share of the gap that a user asks for that each of the two searches may leave.
SHARE_OF_GAP = 0.3


@seldom()
def solve_scenario(
    scenario: Scenario,
    effort: Effort | None = None,
    folder: Path = Path("."),
    alternatives: int = 0,
    running: Plan | None = None,
    reasons: bool = True,
) -> Outcome:
    """Find the best plan of a scenario.

    Devices that lack the NVLink or NIC that others of their host have are taken where that is cheaper than to leave them
    out; the bound holds with them.

    Parameters
    ----------
    folder: where relative paths in the scenario start.
    alternatives: structurally different plans within 5 % to add.
    running: a plan in force, whose replicas stay where they are as far as that costs nothing.
    reasons: whether to look for what stands in the way where there is no plan, which takes several solves.

    Raises
    ------
    BadInput: an unknown name, a quantity out of range.
    SolverDefect: the witness rejects the plan: a defect of this project.
    """
    effort = (effort or Effort()).started()
    whole = Instance.of(embedded(scenario, folder), folder)
    crippled = topologies.crippled(whole.cluster)
    if not crippled:
        return _solve(whole, effort, alternatives, running, reasons)
    every = _solve(whole, effort, alternatives, running, reasons)
    fit = Instance.of(without(whole.scenario, crippled), folder)
    able = _solve(fit, effort, alternatives, running, reasons)
    if able.found is None or every.found is None:
        return able if every.found is None else every
    cheaper = min((able.found, every.found), key=lambda plan: (plan.objective.least, plan.objective.simplicity_cost))
    if cheaper is every.found:
        return every
    best = with_bound(cheaper, every.found.objective.bound)
    return replace(able, status=best.status, found=best)


#: The same where nobody asks why there is no plan.
without_reasons = partial(solve_scenario, reasons=False)


@dataclass(frozen=True)
class _Solved:
    """What the search of one engine found, with promises sharing pools in one way."""

    search: Search
    found: Cheapest

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self.search.engine

    @property
    def result(self) -> Plan | NoLayout:
        """The cheapest plan."""
        return self.found.result


def _solve(instance: Instance, effort: Effort, alternatives: int, running: Plan | None, reasons: bool) -> Outcome:
    """Solve for each engine in question, and each way in which promises may share pools, and take the best."""
    scenario = instance.scenario
    wanted = replace(effort, gap=scenario.options.gap * SHARE_OF_GAP)
    engines, sharings = scenario.engines, tuple(instance.sharings())
    stand = standing(running, _healthy(instance)) if running is not None else ()
    solved: list[_Solved] = []
    ways = list(product(sharings, engines))
    skipped = 0
    for number, (sharing, engine) in enumerate(ways):
        known = min((s.result.objective.usd_per_hour for s in solved if isinstance(s.result, Plan)), default=math.inf)
        if number >= len(engines) and _least_usd(instance, sharing) >= known:
            continue
        if number >= len(engines) and wanted.late:
            skipped += 1
            continue
        # The ways that come first take half of what time is left: most that follow end soon, or are skipped.
        remaining = min(len(ways) - number, 2 * len(engines))
        share = replace(wanted, clock=wanted.clock and wanted.clock.part(1 / remaining))
        search, found = confident(Search(instance.shared(sharing), engine, share, standing=stand))
        solved.append(_Solved(search, found))
    plans = [(s, s.result) for s in solved if isinstance(s.result, Plan)]
    if not plans:
        proven = not skipped and all(isinstance(s.result, NoLayout) and s.result.proven for s in solved)
        reason = next((s.result.because for s in solved if isinstance(s.result, NoLayout) and s.result.because), "")
        if reason or not reasons:
            return Outcome("infeasible" if proven else "unknown", None, reason or "No plan was found.")
        refusal = why_none(instance, [s.found.offer for s in solved[-len(engines) :]], wanted, proven)
        return Outcome("infeasible" if proven else "unknown", None, refusal.reason, refusal=refusal)
    unknown = [s.engine for s in solved if isinstance(s.result, NoLayout) and not s.result.proven]
    planned = {s.engine for s, _ in plans}
    skipped += sum(engine in planned for engine in unknown)
    undecided = any(engine not in planned for engine in unknown)
    chosen, best = _simplest(plans, 0.0 if undecided else min(plan.objective.bound for _, plan in plans), wanted)
    best = _over(best, len(sharings), skipped)
    instance = replace(chosen.search.instance, aimed=None)
    plans = [(s, best if s.engine == chosen.engine else plan) for s, plan in plans]
    best = _with_price_of_survival(instance, best, wanted)
    if len(engines) > 1:
        best = _with_doubted_ranking(instance, best, list(dict.fromkeys(s.engine for s, _ in plans)))
    if alternatives and not wanted.late:
        best = _with_alternatives(instance, best, alternatives, wanted)
    return Outcome(best.status, best, by_engine=_by_engine(plans) if len(engines) > 1 else ())


def _simplest(
    plans: Sequence[tuple[_Solved, Plan]], bound: float, effort: Effort
) -> tuple[_Solved, Plan]:
    """The simplest plan within the tolerance of the cheapest, of all engines and ways to share pools; and whose it is."""
    cheapest, plan = min(plans, key=lambda pair: _cost(pair[1]))
    allowed = 1 + plan.scenario.options.simplicity
    most = _cost(plan) * allowed
    near = [(replace(s.search, effort=effort).simplest(s.found, most), s) for s, each in plans if _cost(each) <= most]
    # What was simplified may have turned out cheaper, where a placement rented less than the one before.
    least = min(_cost(plan), *(_cost(each.plan) for each, _ in near))
    able = [(each, s) for each, s in near if _cost(each.plan) <= least * allowed]
    simplest, chosen = min(able, key=lambda pair: (pair[0].order, _cost(pair[0].plan)))
    best = with_bound(simplest.plan, bound, least)
    told = simplicity(best, simplest.order, cheapest.found.order)
    return chosen, best.model_copy(update={"binding": (*told, *best.binding)})


def _cost(plan: Plan) -> float:
    return plan.objective.usd_per_million_output_tokens


def _least_usd(instance: Instance, sharing: Sharing) -> float:
    """What no plan undercuts in which promises share pools in one way: a replica for each group [USD/h].

    Owned clusters cost the same however they are used; what serves most is not known before it is searched.
    """
    scenario = instance.scenario
    if scenario.objective == "throughput":
        return -math.inf
    if scenario.owned:
        return math.inf
    replicas = [
        math.ceil(instance.llm.weight_bytes / max(fleet.device.hbm_bytes, fleet.device.hbm_usable_bytes))
        * instance.usd_per_hour(fleet.device.name)
        for fleet in instance.fleets
    ]
    hosts = [
        min(host.rented for host in domains.profile.hosts) * instance.usd_per_hour(fleet.device.name)
        for fleet in instance.fleets
        for domains in fleet.classes
    ]
    return max(len(sharing) * min(replicas), min(hosts) if scenario.billing != "device" else 0.0)


def _over(plan: Plan, sharings: int, skipped: int) -> Plan:
    """The plan, saying which ways to share pools its bound is about where there are several."""
    if sharings == 1:
        return plan
    said = "; promises that share pools share those of both phases, and share them whole"
    said += f"; without {skipped} ways to share pools that there was no time to search" if skipped else ""
    provenance = plan.provenance.model_copy(update={"bound_over": plan.provenance.bound_over + said})
    return plan.model_copy(update={"provenance": provenance})


def _by_engine(plans: Sequence[tuple[_Solved, Plan]]) -> tuple[tuple[Engine, Plan], ...]:
    """The best plan of each engine."""
    found: dict[Engine, Plan] = {}
    for solved, plan in sorted(plans, key=lambda pair: pair[1].objective.usd_per_million_output_tokens):
        found.setdefault(solved.engine, plan)
    return tuple((engine, found[engine]) for engine in dict.fromkeys(s.engine for s, _ in plans))


def _with_doubted_ranking(instance: Instance, best: Plan, engines: Sequence[str]) -> Plan:
    """The plan, saying so where engines were compared of which some were not measured with this LLM and device."""
    pairs = [(engine, fleet.device.name) for engine in engines for fleet in instance.fleets]
    doubts = dict.fromkeys(doubt for pair in pairs if (doubt := instance.calibration(*pair)[1]))
    if not doubts:
        return best
    note = f"the engines are ranked by prediction, not by measurement: {'; '.join(doubts)}"
    prediction = best.prediction.model_copy(update={"extrapolated": (*best.prediction.extrapolated, note)})
    return best.model_copy(update={"prediction": prediction})


def _with_price_of_survival(instance: Instance, best: Plan, effort: Effort) -> Plan:
    """The plan with a sentence on what surviving failures costs, over the plan that does not."""
    options = instance.scenario.options
    lost = {"scale-up domain": options.survive_domain_failures, "host": options.survive_host_failures}
    if not any(lost.values()) or effort.late:
        return best
    without = options.model_copy(update={"survive_domain_failures": 0, "survive_host_failures": 0})
    careless = replace(instance, scenario=instance.scenario.model_copy(update={"options": without}))
    _, careless_found = confident(Search(careless, best.pools[0].engine, replace(effort, progress=None)))
    plan = careless_found.result
    if not isinstance(plan, Plan):
        return best
    return best.model_copy(update={"binding": (price_of_survival(best, plan, lost), *best.binding)})


def _with_alternatives(instance: Instance, best: Plan, count: int, effort: Effort) -> Plan:
    engine = best.pools[0].engine

    def planner(scenario: Scenario, forbidden: Forbidden) -> Plan | None:
        search, found = confident(Search(replace(instance, scenario=scenario), engine, effort, forbidden))
        return search.simple(found)

    return best.model_copy(update={"alternatives": different(best, count, planner)})


def _healthy(instance: Instance) -> set[str]:
    return {device for fleet in instance.fleets for c in fleet.classes for d in c.domains for device in d.devices}
