"""Which rules limit a plan, and how much each leaves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from solver.cost.instance import Instance
from solver.cost.network.contention import ROUNDING, Exchange
from solver.cost.support import untried
from solver.optimize.layout.simple import CRITERIA, Order
from solver.plan import Binding, Plan
from topologies.units import show_bandwidth, show_bytes, show_seconds

#: A cost that differs by no more is the same.
SAME = 1e-6
#: Rules that leave more than this share of their limit do not bind.
SLACK = 0.1


def binding(instance: Instance, plan: Plan, exchanges: Mapping[str, Exchange | None]) -> tuple[Binding, ...]:
    """Rules with little slack, tightest first.

    Parameters
    ----------
    exchanges: what the fabric leaves to the expert exchange of each pool.
    """
    found = [*_promises(instance, plan), *_memory(plan), *_capacity(instance, plan), *_links(plan)]
    found += _exchanges(instance, plan, exchanges)
    return tuple(sorted((b for b in found if b.slack <= SLACK), key=lambda b: (b.slack, b.rule, b.because)))


def _promises(instance: Instance, plan: Plan) -> Iterator[Binding]:
    for group in instance.groups:
        for request_class, slo in zip(group.classes, group.slos, strict=True):
            figures = plan.prediction.classes[request_class.name]
            for measure, limit in slo.promised:
                value = figures.figure(measure)
                if value is not None:
                    yield Binding(
                        rule=measure.key,
                        because=f"{measure} of class {request_class.name!r} is {show_seconds(value)} "
                        f"of the {show_seconds(limit)} that were promised.",
                        slack=1 - value / limit,
                    )


def _memory(plan: Plan) -> Iterator[Binding]:
    for pool in plan.pools:
        m = pool.memory
        yield Binding(
            rule="memory",
            because=f"A rank of pool {pool.name} fills {show_bytes(m.used_bytes)} of the {show_bytes(m.capacity_bytes)} of HBM "
            f"that the engine may use; {show_bytes(m.kv_bytes)} are KV cache.",
            slack=1 - m.used_bytes / m.capacity_bytes,
        )


def _capacity(instance: Instance, plan: Plan) -> Iterator[Binding]:
    for pool in plan.pools:
        slack = 1 - pool.requests_per_s_per_replica / pool.capacity_requests_per_s_per_replica
        yield Binding(
            rule="capacity",
            because=f"Pool {pool.name} serves {pool.requests_per_s_per_replica * pool.replicas:.4g} of the "
            f"{pool.capacity_requests_per_s_per_replica * pool.replicas:.4g} requests/s that it can serve within the promises.",
            slack=slack,
        )
    healthy = sum(fleet.devices for fleet in instance.fleets)
    yield Binding(
        rule="devices",
        because=f"The plan uses {plan.devices} of {healthy} healthy devices.",
        slack=1 - plan.devices / healthy,
    )


def _links(plan: Plan) -> Iterator[Binding]:
    busiest = max(plan.links, key=lambda link: link.utilisation, default=None)
    if busiest is not None and math.isfinite(busiest.utilisation):
        yield Binding(
            rule="links",
            because=(
                f"The busiest link, {busiest.source} to {busiest.target} ({busiest.fabric}), "
                f"is {busiest.utilisation:.0%} full."
            ),
            slack=1 - busiest.utilisation,
        )


def _exchanges(instance: Instance, plan: Plan, exchanges: Mapping[str, Exchange | None]) -> Iterator[Binding]:
    """Pools whose ranks get less of the fabric than their NICs carry."""
    for pool in plan.pools:
        exchange, nic = exchanges[pool.name], instance.fleet(pool.device).device.scale_out_bytes_per_s
        if exchange is not None and exchange.bytes_per_s < nic * (1 - ROUNDING):
            source, target = exchange.link
            yield Binding(
                rule="fabric",
                because=f"Ranks of pool {pool.name} exchange at {show_bandwidth(exchange.bytes_per_s)} of the "
                f"{show_bandwidth(nic)} of a NIC: the link from {source} to {target} is full when all do at once.",
                slack=0.0,
            )


def price_of_survival(plan: Plan, careless: Plan, lost: Mapping[str, int]) -> Binding:
    """What surviving failures costs.

    Parameters
    ----------
    careless: the best plan that does not survive them.
    lost: how many of what may fail.
    """
    what = " and ".join(f"{n} {unit}{'s' if n > 1 else ''}" for unit, n in lost.items() if n)
    ours, theirs = plan.objective, careless.objective
    hourly = ours.usd_per_hour - theirs.usd_per_hour
    share = ours.usd_per_million_output_tokens / theirs.usd_per_million_output_tokens - 1
    return Binding(
        rule="survival",
        because=f"Surviving the loss of any {what} costs {hourly:.4g} USD/h more than the best plan that does not "
        f"({ours.usd_per_hour:.4g} instead of {theirs.usd_per_hour:.4g}), {share:.1%} per output token.",
        slack=0.0,
    )


def simplicity(plan: Plan, ours: Order, least: Order) -> Iterator[Binding]:
    """What no measured run supports and is in the plan all the same; what makes it simpler than the cheapest plan that was
    found, and what that costs.

    Parameters
    ----------
    ours, least: how simple both are.
    """
    o, tolerance = plan.objective, plan.scenario.options.simplicity
    within = f"within {100 * tolerance:.3g} % of the least cost that was found"
    slack = max(1 - o.simplicity_cost / tolerance, 0.0) if tolerance else 0.0
    names = dict.fromkeys(name for pool in plan.pools for name in untried(pool.setup()))
    if names and tolerance:
        yield Binding(
            rule="evidence",
            because=f"The plan rests on {' and '.join(names)}, which no measured run had: none that rests on less was found "
            f"{within}.",
            slack=slack,
        )
    first = next((n for n, (mine, other) in enumerate(zip(ours, least, strict=True)) if mine < other), None)
    if first is not None:
        cost = f"{o.simplicity_cost:.2%} more than that" if o.simplicity_cost > SAME else "no more than that"
        yield Binding(
            rule="simplicity",
            because=f"It is the simplest plan {within}: {ours[first]} instead of {least[first]} {CRITERIA[first].words}, "
            f"at {cost} ({o.least:.4g} USD per million output tokens).",
            slack=slack,
        )
