"""Pools are what the scenario allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from solver.check.evidence import Evidence
from solver.cost.support import untried
from solver.plan import Pool
from solver.workload import PinnedPool


def names_and_kinds(evidence: Evidence) -> Iterator[str]:
    """Names differ; engine, device and classes exist; the roles can serve every promise."""
    plan, instance = evidence.plan, evidence.instance
    for name, count in Counter(pool.name for pool in plan.pools).items():
        if count > 1:
            yield f"{count} pools are named {name!r}"
    fleets = {fleet.device.name for fleet in instance.fleets}
    groups = {tuple(c.name for c in group.classes) for group in instance.groups}
    for pool in plan.pools:
        if plan.scenario.engine not in ("auto", pool.engine):
            yield f"pool {pool.name} runs on {pool.engine}; the scenario asks for {plan.scenario.engine}"
        if pool.device not in fleets:
            yield f"pool {pool.name} wants {pool.device}; the cluster has healthy {', '.join(sorted(fleets))}"
        if pool.serves not in groups:
            yield (
                f"pool {pool.name} serves {', '.join(pool.serves) or 'nobody'}, which are not all classes of the promises that "
                "share its pools"
            )
    if len({pool.engine for pool in plan.pools}) > 1:
        yield "the pools run on different engines, which cannot hand over KV caches"
    yield from _roles(evidence)


def _roles(evidence: Evidence) -> Iterator[str]:
    """Classes that share pools are served by unified ones, or by prefill and decode pools."""
    for group in evidence.instance.groups:
        names = tuple(c.name for c in group.classes)
        roles = {pool.role for pool in evidence.plan.pools if pool.serves == names}
        if roles not in ({"unified"}, {"prefill", "decode"}):
            yield f"classes {', '.join(names)} are served by roles {sorted(roles)}; it takes unified, or prefill and decode"


def within_constraints(evidence: Evidence) -> Iterator[str]:
    """Everything the user limited stays within the limit."""
    plan, scenario = evidence.plan, evidence.plan.scenario
    limits = scenario.constraints
    for pool in plan.pools:
        if limits.roles is not None and pool.role not in limits.roles:
            yield f"pool {pool.name} has the role {pool.role}; the scenario allows {', '.join(limits.roles)}"
        if pool.replicas < limits.min_replicas:
            yield f"pool {pool.name} has {pool.replicas} replicas; the scenario demands {limits.min_replicas}"
        yield from _degrees(evidence, pool)
    wanted = scenario.options.disaggregate
    if isinstance(wanted, bool) and any((pool.role == "unified") == wanted for pool in plan.pools):
        yield f"the scenario says disaggregate: {wanted}; the plan does otherwise"
    if limits.max_devices is not None and plan.devices > limits.max_devices:
        yield f"the plan uses {plan.devices} devices; the scenario allows {limits.max_devices}"
    for role in ("prefill", "decode", "unified"):
        for serves, count in Counter(pool.serves for pool in plan.pools if pool.role == role).items():
            if count > scenario.options.max_pools:
                yield f"{count} {role} pools serve {', '.join(serves)}; the scenario allows {scenario.options.max_pools}"
    for pool in plan.pools:
        if not limits.other_pools and not any(_is_pinned(pool, pin) for pin in limits.pools):
            yield f"pool {pool.name} is none of the pinned pools, and the scenario allows no others"
    for pin in limits.pools:
        if not any(_is_pinned(pool, pin) for pool in plan.pools):
            yield f"no pool is the pinned {pin.role} pool {pin.parallelism}"


def _degrees(evidence: Evidence, pool: Pool) -> Iterator[str]:
    limits, shape = evidence.plan.scenario.constraints, pool.parallelism.shape()
    for name in limits.forbid:
        if getattr(shape, name) > 1:
            yield f"pool {pool.name} has {name} = {getattr(shape, name)}; the scenario forbids {name}"
    if limits.max_tp is not None and shape.tp > limits.max_tp:
        yield f"pool {pool.name} has tp = {shape.tp}; the scenario allows {limits.max_tp}"
    if limits.max_domains is not None and pool.domains_per_replica > limits.max_domains:
        yield (
            f"replicas of pool {pool.name} spread over {pool.domains_per_replica} scale-up domains; the scenario allows "
            f"{limits.max_domains}"
        )
    if limits.measured_only and (names := untried(pool.setup())):
        yield f"pool {pool.name} has {', '.join(names)}, which no measured run had; the scenario allows no such mechanism"


def _is_pinned(pool: Pool, pin: PinnedPool) -> bool:
    batch = pin.batch_per_rank is None or pool.limits.max_sequences <= pin.batch_per_rank
    return (
        batch
        and pin.fits(pool.setup())
        and pin.device in (None, pool.device)
        and pin.replicas in (None, pool.replicas)
    )
