"""Why a layout that somebody proposes is not the plan: the first rule that it breaks, or what it would cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver.cost.instance import Instance
from solver.cost.network.fleet import Fleet
from solver.engines import EngineRules, engine_rules
from solver.engines.memory import MOST_FRACTION
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.replica import Parallelism, Role, Setup
from solver.space.candidates import Candidate, holds_longest, price
from solver.space.legality import Inquiry, handover_faults
from solver.space.shapes import Footprint, most_replicas, shapes
from solver.study.proposed import proposed_pools
from solver.workload import SLO, PinnedPool, Scenario, Traffic
from topologies.units import show_seconds


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a proposed layout, or what it costs.

    Attributes
    ----------
    reasons: rules that it breaks, one sentence each; empty where it would serve.
    usd_per_million_output_tokens: what it would cost; None where it does not serve.
    best_usd_per_million_output_tokens: what the best plan costs; None where there is none.
    """

    reasons: tuple[str, ...]
    usd_per_million_output_tokens: float | None = None
    best_usd_per_million_output_tokens: float | None = None

    def __str__(self) -> str:
        if self.reasons:
            return "\n".join(("It would not serve:", *(f"  {reason}" for reason in self.reasons)))
        mine, best = self.usd_per_million_output_tokens, self.best_usd_per_million_output_tokens
        if mine is None or best is None:
            return "It was neither excluded nor priced within the time limit: allow more time."
        if mine <= best * (1 + 1e-9):
            return f"It serves at {mine:.4g} USD per million output tokens, and no plan was found that costs less."
        return (
            f"It serves at {mine:.4g} USD per million output tokens; the best plan costs {best:.4g}, "
            f"{1 - best / mine:.1%} less."
        )

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return {
            "reasons": list(self.reasons),
            "usd_per_million_output_tokens": self.usd_per_million_output_tokens,
            "best_usd_per_million_output_tokens": self.best_usd_per_million_output_tokens,
        }


def why_not(
    scenario: Scenario, text: str, effort: Effort | None = None, folder: Path = Path("."), best: float | None = None
) -> Verdict:
    """The verdict on a layout.

    Parameters
    ----------
    text: its pools, as :func:`proposed_pools` reads them.
    best: cost of the best plan where it is known; solved for without [USD per million output tokens].

    Raises
    ------
    BadInput: pools that are not understood, or a scenario that is wrong.
    """
    instance = Instance.of(scenario, folder)
    pools = proposed_pools(text, instance)
    excluded = [tuple(_faults(instance, engine, pools)) for engine in scenario.engines]
    if all(excluded):
        return Verdict(excluded[0])
    limits = scenario.constraints.model_copy(update={"pools": pools, "other_pools": False})
    outcome = solve_scenario(scenario.model_copy(update={"constraints": limits}), effort, folder)
    if outcome.found is None:
        if outcome.status != "infeasible":
            return Verdict(())
        return Verdict((outcome.reason, *_reached(scenario.model_copy(update={"constraints": limits}), effort, folder)))
    mine = outcome.found.objective.usd_per_million_output_tokens
    if best is None:
        free = solve_scenario(scenario, effort, folder).found
        best = mine if free is None else free.objective.usd_per_million_output_tokens
    return Verdict((), mine, best)


def _reached(scenario: Scenario, effort: Effort | None, folder: Path) -> Iterator[str]:
    """What pools that miss the demand serve at most: within the promises, or without any where those rule them out."""
    wanted = scenario.traffic.requests_per_s
    free: dict[str, Any] = {"slo": SLO(), "traffic": _unpromised(scenario.traffic)}
    for told, relaxed in (("Within the promises", {}), ("Without any promise", free)):
        most = solve_scenario(scenario.model_copy(update={"objective": "throughput", **relaxed}), effort, folder).found
        if most is not None:
            seen = most.prediction
            yield (
                f"{told} these pools serve at most {seen.requests_per_s:.4g} of the {wanted:.4g} requests/s asked for, with "
                f"TTFT p95 {show_seconds(seen.ttft_p95_s)} and TPOT p95 {show_seconds(seen.tpot_p95_s)}."
            )
            return


def _unpromised(traffic: Traffic) -> Traffic:
    """The same traffic, where no class has promises of its own."""
    return traffic.model_copy(update={"classes": tuple(c.model_copy(update={"slo": None}) for c in traffic.classes)})


def _faults(instance: Instance, engine: str, pools: Sequence[PinnedPool]) -> Iterator[str]:
    """What the engine, the hosts and the memory say against the pools, by themselves and between them."""
    rules = engine_rules(engine, instance.scenario.engine_version)
    for pool in pools:
        yield from _faults_of_pool(instance, rules, pool)
    for fleet in instance.fleets[:1]:
        yield from _faults_between(instance, rules, fleet, pools)


def _faults_of_pool(instance: Instance, rules: EngineRules, pool: PinnedPool) -> Iterator[str]:
    """The rules that one pool breaks on every kind of device that it may run on."""
    excused = [
        list(_faults_on(instance, rules, pool, fleet))
        for fleet in instance.fleets
        if pool.device in (None, fleet.device.name)
    ]
    if all(excused):
        yield from dict.fromkeys(reason for reasons in excused for reason in reasons)


def _faults_on(instance: Instance, rules: EngineRules, pool: PinnedPool, fleet: Fleet) -> Iterator[str]:
    subject = f"{pool.role} {Parallelism(**pool.parallelism)} on {fleet.device.name}"
    lying = list(_lying(instance, rules, pool, fleet))
    refusals = Inquiry(instance.llm, rules, fleet.device, [setup for setup, _ in lying]).refusals()
    if all(refusals):
        for rule in min(refusals, key=len):
            yield f"{subject}: {rules.title} {rules.version} {rule.consequence}: {rule.because} ({rule.source})"
        return
    started = [row for row, broken in zip(lying, refusals, strict=True) if not broken]
    fitting = [row for row in started if most_replicas(fleet, row[1]) >= (pool.replicas or 1)]
    if not fitting:
        replicas = max(most_replicas(fleet, footprint) for _, footprint in started)
        yield f"{subject}: {pool.replicas or 1} replicas do not fit on the healthy devices; {replicas} do"
        return
    calibration, _ = instance.calibration(rules.name, fleet.device.name)
    best = price(
        instance.llm, fleet, calibration, [Candidate(setup, footprint) for setup, footprint in fitting], best_links=True
    ).evened()
    if not holds_longest(best, instance.longest).any():
        room = float(np.max(best.ledger.kv_room.min(axis=1)))
        needed = float(np.min(best.ledger.kv_bytes(np.full(len(best), float(instance.longest))).max(axis=1)))
        yield (
            f"{subject}: weights and buffers leave {room / 1e9:.4g} GB of HBM for the KV cache of a rank; one request of "
            f"{instance.longest:,} tokens needs {needed / 1e9:.4g} GB"
        )


def _lying(instance: Instance, rules: EngineRules, pool: PinnedPool, fleet: Fleet) -> Iterator[tuple[Setup, Footprint]]:
    """The ways in which a pool's replica can lie on the fleet; packed as tightly as it goes where none is usual."""
    degrees = Parallelism(**pool.parallelism)
    chunk, fraction = pool.chunk_tokens or 8192, instance.scenario.options.memory_fraction or MOST_FRACTION
    usual = [
        (
            replace(shape.setup(rules, pool.role), chunk_tokens=chunk, memory_fraction=fraction),
            shape.footprint(fleet.device.name),
        )
        for shape in shapes(instance.llm, fleet)
        if shape.parallelism == degrees
    ]
    if usual:
        yield from usual
        return
    largest = max(fleet.domain_sizes)
    domains = -(-degrees.devices // largest)
    per_host = min(-(-degrees.devices // domains), fleet.host_size)
    hosts = max(-(-degrees.devices // per_host), 1)
    setup = Setup(pool.role, rules.name, degrees, domains, hosts, chunk_tokens=chunk)
    yield setup, Footprint(fleet.device.name, domains, -(-hosts // domains), per_host)


def _faults_between(instance: Instance, rules: EngineRules, fleet: Fleet, pools: Sequence[PinnedPool]) -> Iterator[str]:
    """The rule that stands between every pair of a prefill and a decode pool, by the connector that breaks fewest."""
    sides = [_asked(instance, rules, fleet, pools, role) for role in ("prefill", "decode")]
    if not all(side.setups for side in sides):
        return
    by_connector = {}
    for connector in rules.connectors:
        broken = [(rule, mask) for rule, mask in handover_faults(connector, *sides) if mask.any()]
        if not broken:
            return
        by_connector[connector.name] = broken
    for name, broken in by_connector.items():
        rule, mask = broken[0]
        prefill, decode = np.argwhere(mask)[0]
        yield (
            f"prefill {sides[0].setups[prefill].parallelism} to decode {sides[1].setups[decode].parallelism}: {rules.title} "
            f"{rules.version} over {name} {rule.consequence}: {rule.because} ({rule.source})"
        )


def _asked(instance: Instance, rules: EngineRules, fleet: Fleet, pools: Sequence[PinnedPool], role: Role) -> Inquiry:
    setups = [Setup(role, rules.name, Parallelism(**pool.parallelism)) for pool in pools if pool.role == role]
    return Inquiry(instance.llm, rules, fleet.device, setups)
