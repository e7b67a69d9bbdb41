"""What is left after the worst losses still meets the demand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from solver.check.evidence import Evidence
from solver.replica import Role


def losses_are_survived(evidence: Evidence) -> Iterator[str]:
    """Losing the domains (or hosts) that hurt a role most leaves enough capacity in it.

    A replica is lost with any of its devices; the sum of the largest losses bounds that of any set of as many.
    """
    options, nodes = evidence.plan.scenario.options, evidence.instance.cluster.nodes
    if options.survive_domain_failures:
        yield from _survive(evidence, "domain", options.survive_domain_failures, evidence.instance.domain_of)
    if options.survive_host_failures:
        yield from _survive(evidence, "host", options.survive_host_failures, lambda device: str(nodes[device]["host"]))


def _survive(evidence: Evidence, what: str, failures: int, unit: Callable[[str], str]) -> Iterator[str]:
    plan = evidence.plan
    asked: dict[tuple[tuple[str, ...], Role], float] = defaultdict(float)
    capacity: dict[tuple[tuple[str, ...], Role], float] = defaultdict(float)
    lost: dict[tuple[tuple[str, ...], Role], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for pool in plan.pools:
        role = pool.serves, pool.role
        asked[role] += pool.requests_per_s_per_replica * pool.replicas
        capacity[role] += pool.capacity_requests_per_s_per_replica * pool.replicas
        for devices in evidence.replicas(pool):
            for name in {unit(device) for device in devices}:
                lost[role][name] += pool.capacity_requests_per_s_per_replica
    for role, wanted in sorted(asked.items()):
        worst = sum(sorted(lost[role].values(), reverse=True)[:failures])
        if capacity[role] - worst < wanted * (1 - 1e-6):
            yield (
                f"after the loss of {failures} {what}(s) the {role[1]} pools serve {capacity[role] - worst:.4g} requests/s "
                f"of the {wanted:.4g} that arrive"
            )
