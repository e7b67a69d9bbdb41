"""Placements that survive what may fail: those that do already, or one that is searched for with every unit named."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from solver.optimize.arithmetic.run import Effort, run
from solver.optimize.layout.mapping.bins import Bin, Devices, HostProgram, empty, largest_first
from solver.optimize.layout.program import Market, UnitLoss
from solver.optimize.layout.search import Layout
from solver.replica import Role

#: Steps in which requests/s are counted, share of a role's capacity that rounding may take, and steps of a rent.
STEPS, ROUNDING, USD_STEPS = 2**30, 1e-7, 1000

#: Seconds that the search for a placement may take.
TIME_LIMIT_S = 5.0

#: Promise and role.
Service = tuple[int, Role]


def survives(layout: Layout, market: Market, devices: Sequence[Sequence[Devices]]) -> bool:
    """Whether what is left after the worst losses serves all.

    Parameters
    ----------
    devices: of every replica of every pool.
    """
    for failure in market.failures:
        home = _homes(market, failure)
        lost: dict[Service, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for pool, replicas in zip(layout.pools, devices, strict=True):
            service = pool.column.group, pool.column.role
            for replica in replicas:
                for unit in {home[device] for device in replica}:
                    lost[service][unit] += pool.column.rate
        for service, spare in _spare(layout, market).items():
            if math.fsum(sorted(lost[service].values())[-failure.failures :]) > spare:
                return False
    return True


def surviving(layout: Layout, market: Market, effort: Effort) -> list[Bin] | None:
    """The cheapest packing found that survives what may fail; None where none was.

    With t the least of the n greatest losses, ``n t + sum over units max(0, loss - t)`` is what they take together.
    """
    pools, domains = layout.pools, [d for supply in market.supplies for d in supply.domain_class.domains]
    bins = empty(domains)
    program = HostProgram(pools, largest_first(pools), domains)
    program.place([sum(pool.fragments.values()) for pool in pools], bins)
    for d, domain in enumerate(domains):
        for h, devices in enumerate(domain.hosts):
            sized = [(program.parts[n, d, h], pool.column.footprint.per_host) for n, pool in enumerate(pools)]
            program.require("room", sized, len(devices))
    spare = _spare(layout, market)
    for failure in market.failures:
        held = _held(market, failure, program)
        for service, most in spare.items():
            of = [n for n, pool in enumerate(pools) if (pool.column.group, pool.column.role) == service]
            unit = max(most, *(pools[n].column.rate for n in of)) / STEPS
            rates = {n: math.ceil(pools[n].column.rate / unit) for n in of}
            reach = sum(rates[n] * pools[n].replicas for n in of)
            level = program.variable("level", reach)
            over = []
            for parts in held.values():
                lost = [(variable, rates[n]) for n, variable in parts if n in rates]
                over.append(program.variable("over", reach))
                program.require("loss", [*lost, (level, -1), (over[-1], -1)], 0)
            taken = [(level, failure.failures), *((variable, 1) for variable in over)]
            program.require("survival", taken, math.floor(most / unit))
    limit = min(TIME_LIMIT_S, effort.time_limit_s)
    answer = run(program.finished(list(_rent(market, program))), replace(effort, time_limit_s=limit))
    return [program.bin(d, bins[d], answer.values) for d in range(len(domains))] if answer.values else None


def _spare(layout: Layout, market: Market) -> dict[Service, float]:
    """What each role could serve beyond the demand [requests/s]."""
    multiple = layout.value if market.objective == "throughput" else 1.0
    capacity: dict[Service, float] = defaultdict(float)
    for pool in layout.pools:
        capacity[pool.column.group, pool.column.role] += pool.column.rate * pool.replicas
    return {
        (group, role): every * (1 + ROUNDING) - market.needs[group].requests_per_s * multiple
        for (group, role), every in capacity.items()
    }


def _homes(market: Market, failure: UnitLoss) -> Mapping[str, str]:
    """The unit that every device is lost with."""
    return {
        device: domain.name if failure.unit == "domain" else host
        for supply in market.supplies
        for domain in supply.domain_class.domains
        for host, devices in zip(domain.host_names, domain.hosts, strict=True)
        for device in devices
    }


def _held(market: Market, failure: UnitLoss, program: HostProgram) -> Mapping[str, list[tuple[int, int]]]:
    """The variables of what every unit holds of each pool: (number of the pool, variable)."""
    held: dict[str, list[tuple[int, int]]] = defaultdict(list)
    domains = [domain for supply in market.supplies for domain in supply.domain_class.domains]
    if failure.unit == "domain":
        for (number, d), variable in program.held.items():
            held[domains[d].name].append((number, variable))
    else:
        for (number, d, h), variable in program.parts.items():
            held[domains[d].host_names[h]].append((number, variable))
    return held


def _rent(market: Market, program: HostProgram) -> Iterator[tuple[int, int]]:
    """What is paid for domains or hosts in use; nothing where devices are, or all are anyway."""
    if market.objective == "throughput" or market.owned or market.billing == "device":
        return
    by_host = market.billing == "host"
    domains = [(supply, domain) for supply in market.supplies for domain in supply.domain_class.domains]
    paid: dict[str, list[int]] = defaultdict(list)
    usd: dict[str, float] = defaultdict(float)
    for (_, d, h), variable in program.parts.items():
        supply, domain = domains[d]
        unit = domain.host_names[h] if by_host else domain.name
        rented = supply.rented_host if by_host else supply.rented_domain
        paid[unit].append(variable)
        usd[unit] = max(usd[unit], supply.usd_per_device_hour * rented)
    dearest = max(usd.values()) or 1.0
    for unit, parts in paid.items():
        used = program.variable("used", 1)
        for part in parts:
            program.require("used", [(part, 1), (used, -program.most(part))], 0)
        yield used, math.ceil(usd[unit] / dearest * USD_STEPS)
