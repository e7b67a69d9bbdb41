"""Solves a scenario: columns, program, mapping, plan, and the witness that must accept it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import topologies
from solver.check import violations
from solver.cost.instance import Instance
from solver.errors import SolverDefect
from solver.optimize.alternatives import Forbidden
from solver.optimize.alternatives import alternatives as different
from solver.optimize.assemble import assemble, busiest_link, hourly_usd
from solver.optimize.binding import binding, price_of_survival
from solver.optimize.explain import why_none
from solver.optimize.layout import Layout, NoLayout
from solver.optimize.losses import uses_the_fabric, without
from solver.optimize.mapping import Mapping
from solver.optimize.market import Offer, market, offer
from solver.optimize.outcome import Outcome
from solver.optimize.realise import Judge, realise
from solver.optimize.run import Effort
from solver.optimize.standing import Standing, standing
from solver.plan import Plan
from solver.replica import SERVING_ENGINES, Engine
from solver.workload import Scenario
from topologies import Routes

#: Share of the gap that a user asks for that each of the two searches may leave.
SHARE_OF_GAP = 0.3


def solve_scenario(
    scenario: Scenario,
    effort: Effort | None = None,
    folder: Path = Path("."),
    alternatives: int = 0,
    running: Plan | None = None,
) -> Outcome:
    """Find the best plan of a scenario.

    Devices that lack the NVLink or NIC that others of their host have are left out, unless nothing is sent between
    domains and they lower the cost.

    Parameters
    ----------
    folder: where relative paths in the scenario start.
    alternatives: structurally different plans within 5 % to add.
    running: a plan in force, whose replicas stay where they are as far as that costs nothing.

    Raises
    ------
    BadInput: an unknown name, a quantity out of range.
    SolverDefect: the witness rejects the plan: a defect of this project.
    """
    whole = Instance.of(scenario, folder)
    crippled = topologies.crippled(whole.cluster)
    if not crippled:
        return _solve(whole, effort, alternatives, running)
    fit = Instance.of(without(whole.scenario, crippled), folder)
    outcome = _solve(fit, effort, alternatives, running)
    if outcome.found is not None and uses_the_fabric(outcome.found):
        return outcome
    other = _solve(whole, effort, alternatives, running)
    return outcome if outcome.found is not None and _no_dearer(outcome.found, other.found) else other


def _no_dearer(plan: Plan, other: Plan | None) -> bool:
    if other is None:
        return True
    return plan.objective.usd_per_million_output_tokens <= other.objective.usd_per_million_output_tokens


def _solve(instance: Instance, effort: Effort | None, alternatives: int, running: Plan | None) -> Outcome:
    """Solve for each engine in question and take the best."""
    scenario = instance.scenario
    wanted = replace(effort or Effort(), gap=scenario.options.gap * SHARE_OF_GAP)
    engines: Sequence[Engine] = SERVING_ENGINES if scenario.engine == "auto" else (scenario.engine,)
    stand = standing(running, _healthy(instance)) if running is not None else ()
    solved = [(engine, *_solve_engine(instance, engine, wanted, stand=stand)) for engine in engines]
    plans = [(engine, result) for engine, result, _ in solved if isinstance(result, Plan)]
    if not plans:
        proven = all(isinstance(result, NoLayout) and result.proven for _, result, _ in solved)
        reason = why_none(instance, market(instance), [found for _, _, found in solved], wanted, proven)
        return Outcome("infeasible" if proven else "unknown", None, reason)
    best = min((plan for _, plan in plans), key=lambda plan: plan.objective.usd_per_million_output_tokens)
    best = _with_price_of_survival(instance, best, wanted)
    if alternatives:
        best = _with_alternatives(instance, best, alternatives, wanted)
    return Outcome(best.status, best, by_engine=tuple(plans) if len(engines) > 1 else ())


def _with_price_of_survival(instance: Instance, best: Plan, effort: Effort) -> Plan:
    """The plan with a sentence on what surviving failures costs, over the plan that does not."""
    options = instance.scenario.options
    lost = {"scale-up domain": options.survive_domain_failures, "host": options.survive_host_failures}
    if not any(lost.values()):
        return best
    without = options.model_copy(update={"survive_domain_failures": 0, "survive_host_failures": 0})
    careless = replace(instance, scenario=instance.scenario.model_copy(update={"options": without}))
    plan, _ = _solve_engine(careless, best.pools[0].engine, replace(effort, progress=None))
    if not isinstance(plan, Plan):
        return best
    return best.model_copy(update={"binding": (price_of_survival(best, plan, lost), *best.binding)})


def _with_alternatives(instance: Instance, best: Plan, count: int, effort: Effort) -> Plan:
    engine = best.pools[0].engine

    def planner(scenario: Scenario, forbidden: Forbidden) -> Plan | None:
        result, _ = _solve_engine(replace(instance, scenario=scenario), engine, effort, forbidden)
        return result if isinstance(result, Plan) else None

    return best.model_copy(update={"alternatives": different(best, count, planner)})


def _solve_engine(
    instance: Instance,
    engine: Engine,
    effort: Effort,
    forbidden: Forbidden = frozenset(),
    stand: tuple[Standing, ...] = (),
) -> tuple[Plan | NoLayout, Offer]:
    whole = replace(market(instance), standing=stand)
    offered = offer(instance, engine, whole.needs, forbidden)
    result = realise(whole, offered.columns, _judge(instance, offered), effort)
    if isinstance(result, NoLayout):
        return result, offered
    plan = _planned(instance, offered, result, effort)
    broken = violations(plan, instance)
    if broken:
        raise SolverDefect(f"the witness rejects the plan: {'; '.join(broken[:3])}")
    return plan, offered


def _planned(instance: Instance, offered: Offer, result: tuple[Layout, Mapping], effort: Effort) -> Plan:
    plan = assemble(instance, offered, *result, effort.seed)
    return plan.model_copy(update={"binding": binding(instance, plan)})


def _healthy(instance: Instance) -> set[str]:
    return {device for fleet in instance.fleets for c in fleet.classes for d in c.domains for device in d.devices}


def _judge(instance: Instance, offered: Offer) -> Judge:
    routes = Routes(instance.cluster)
    return Judge(
        usd_per_hour=lambda mapping: _usd(instance, mapping),
        busiest=lambda layout, mapping: busiest_link(instance, offered, routes, layout, mapping),
    )


def _usd(instance: Instance, mapping: Mapping) -> float:
    return hourly_usd(instance, [device for pool in mapping.devices for replica in pool for device in replica])
