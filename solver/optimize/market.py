"""From a scenario to what the program is about: what can be rented, what is asked for, and every column that could serve it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from solver.cost.contention import slowed
from solver.cost.instance import Group, Instance
from solver.cost.kept import load_s, spared_s
from solver.cost.serving import Promise
from solver.optimize.expert_loads import balance_of
from solver.optimize.kv_tiers import keepings
from solver.optimize.kv_tiers.places import places
from solver.optimize.program import Market, Need, Supply
from solver.replica import Engine, Parallelism, Role
from solver.space.candidates import Candidate, Candidates, candidates, price
from solver.space.engines import engine_rules
from solver.space.profiles import Column, columns
from solver.workload import Constraints, PinnedPool, Scenario

#: Divisions of an end-to-end promise between the first token and the rest that are tried.
SPLITS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)


@dataclass(frozen=True)
class Offer:
    """All columns of one engine.

    Attributes
    ----------
    dropped: candidates that cannot be used, by role and reason.
    extrapolated: why the calibration should be trusted less.
    """

    engine: Engine
    columns: tuple[Column, ...]
    dropped: dict[Role, Counter[str]]
    priced: int
    extrapolated: tuple[str, ...]


def market(instance: Instance) -> Market:
    """What can be rented and what is asked for."""
    scenario = instance.scenario
    supplies = [
        Supply(index, domain_class, instance.usd_per_hour(domain_class.device))
        for index, domain_class in enumerate(c for fleet in instance.fleets for c in fleet.classes)
    ]
    needs = tuple(_need(group, scenario) for group in instance.groups)
    tiers = places(instance, tuple(supply.domain_class for supply in supplies))
    ways = [
        keepings(instance, group, tuple(_roles(need)), tiers)
        for group, need in zip(instance.groups, needs, strict=True)
    ]
    return Market(
        supplies=tuple(supplies),
        needs=needs,
        objective=scenario.objective,
        billing=scenario.billing,
        owned=scenario.owned,
        max_pools=scenario.options.max_pools,
        max_devices=scenario.constraints.max_devices,
        survive_domains=scenario.options.survive_domain_failures,
        survive_hosts=scenario.options.survive_host_failures,
        whole_hosts=scenario.options.survive_domain_failures > 0,
        pins=tuple(pool.replicas for pool in scenario.constraints.pools),
        keepings=tuple(chain.from_iterable(ways)),
        places=tiers,
    )


def _need(group: Group, scenario: Scenario) -> Need:
    roles = set(scenario.constraints.roles or ("prefill", "decode", "unified"))
    wanted = scenario.options.disaggregate
    return Need(
        group.requests_per_s,
        unified="unified" in roles and wanted is not True,
        disaggregated={"prefill", "decode"} <= roles and wanted is not False,
    )


def offer(
    instance: Instance,
    engine: Engine,
    whole: Market,
    forbidden: frozenset[tuple[Role, Parallelism]] = frozenset(),
    scale_out: Mapping[str, float] | None = None,
) -> Offer:
    """Every column with which an engine could serve, for each promise, role, way to keep KV and kind of device.

    Parameters
    ----------
    forbidden: shapes that a role must not have.
    scale_out: bandwidth at which devices of a kind are priced, where the fabric leaves them less than their NIC's.
    """
    found: list[Column] = []
    dropped: dict[Role, Counter[str]] = {}
    extrapolated, priced, balance = list(instance.llm.notes), 0, balance_of(instance)
    for fleet in (slowed(fleet, (scale_out or {}).get(fleet.device.name)) for fleet in instance.fleets):
        calibration, doubt = instance.calibration(engine, fleet.device.name)
        if doubt:
            extrapolated.append(doubt)
        if balance is not None:
            extrapolated.append(
                "experts are priced by the recorded loads and their placement, not by the imbalance of "
                f"{calibration.imbalance:.2f} with which the calibration was fitted"
            )
        for group, need in zip(instance.groups, whole.needs, strict=True):
            for role, way, served in _served(group, need, whole):
                legal, reasons = candidates(
                    instance.llm, fleet, engine_rules(engine), calibration, role, served.mix,
                    instance.scenario.constraints, instance.longest,
                    {drafts: instance.accepted(drafts) for drafts in instance.drafts(role)},
                    balance,
                )  # fmt: skip
                if way is None:
                    dropped.setdefault(role, Counter()).update(reasons)
                if legal is not None and forbidden:
                    allowed = np.array([(role, row.shape.parallelism) not in forbidden for row in legal.rows], bool)
                    legal = legal.keep(allowed) if allowed.any() else None
                if legal is None:
                    continue
                priced += len(legal)
                for split, promise in promises(group, role):
                    offered = _priced(legal, served, promise, split, instance.scenario.constraints)
                    found += offered if way is None else _keeping(legal, offered, whole, way)
    return Offer(engine, tuple(found), dropped, priced, tuple(extrapolated))


def _served(group: Group, need: Need, whole: Market) -> Iterator[tuple[Role, int | None, Group]]:
    """Every role of a promise with nothing kept, and with each way to keep its idle KV: (role, way, what is served)."""
    for role in _roles(need):
        yield role, None, group
        for number, way in enumerate(whole.keepings):
            if (way.group, way.role) == (group.index, role):
                yield role, number, replace(group, mix=way.mix)


def _keeping(legal: Candidates, offered: Iterable[Column], whole: Market, number: int) -> list[Column]:
    """Columns as priced for one way to keep idle KV: no more caches than it is for, and the tiers that are too slow."""
    way = whole.keepings[number]
    found = [c for c in offered if not way.caches or c.high * c.candidate.shape.parallelism.dp <= way.caches]
    if not found:
        return []
    rows, stages = [c.candidate for c in found], [c.stages for c in found]
    replicas = price(legal.llm, legal.fleet, legal.replicas.calibration, rows, stages=stages)
    slow: list[set[tuple[int, str]]] = [set() for _ in found]
    for position, kept in enumerate(way.kept):
        if not way.drop_s[position]:
            continue
        spared, _ = spared_s(replicas, kept)
        for place in whole.places:
            loading = load_s(replicas, kept, place.rate_of(legal.fleet.device.name))
            for row in np.flatnonzero(loading >= spared):
                slow[row].add((position, place.name))
    return [replace(column, keeping=number, slow=frozenset(pairs)) for column, pairs in zip(found, slow, strict=True)]


def _roles(need: Need) -> Iterator[Role]:
    if need.disaggregated:
        yield "prefill"
        yield "decode"
    if need.unified:
        yield "unified"


def promises(group: Group, role: Role) -> Iterator[tuple[int, Promise]]:
    """What a role must keep of a group's promise, for every division of the end-to-end limit."""
    whole = group.promise
    if role == "unified":
        yield 0, whole
        return
    divisions = SPLITS if math.isfinite(whole.e2e) else (0.0,)
    longest = max(c.output_tokens for c in group.classes)
    for index, share in enumerate(divisions):
        first, rest = whole.ttft, whole.tpot
        if math.isfinite(whole.e2e):
            first = min(first, share * whole.e2e)
            rest = min(rest, (1 - share) * whole.e2e / max(longest - 1, 1))
        yield index, Promise(ttft=first) if role == "prefill" else Promise(tpot=rest, itl=whole.itl)


def _priced(
    legal: Candidates, group: Group, promise: Promise, split: int, constraints: Constraints
) -> Iterator[Column]:
    """The best columns of all candidates, and those of each pinned pool by itself."""
    yield from columns(legal, group.mix, promise, group.index, split, constraints.min_replicas)
    for number, pool in enumerate(constraints.pools):
        if pool.role != legal.role or pool.device not in (None, legal.fleet.device.name):
            continue
        settled = legal.keep(np.array([_settled(pool, row) for row in legal.rows], bool))
        if not len(settled):
            continue
        if pool.batch_per_rank is not None:
            settled = replace(
                settled,
                limit=np.minimum(settled.limit, pool.batch_per_rank),
                optimistic_limit=np.minimum(settled.optimistic_limit, pool.batch_per_rank),
            )
        for column in columns(settled, group.mix, promise, group.index, split):
            if pool.replicas is None or column.low <= pool.replicas <= column.high:
                yield replace(column, pin=number)


def _settled(pool: PinnedPool, row: Candidate) -> bool:
    return pool.fits(row.shape.parallelism) and pool.chunk_tokens in (None, row.chunk)
