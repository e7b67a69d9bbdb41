"""Every layer on exactly one stage, every rank on exactly one healthy device, groups inside their domains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from solver.check.evidence import Evidence
from solver.plan import Pool


def every_layer_once(evidence: Evidence) -> Iterator[str]:
    """Stages are contiguous runs that cover all layers, on the pool's device and degree."""
    last = len(evidence.instance.llm.layers) - 1
    for pool in evidence.plan.pools:
        depth = pool.parallelism.pp
        if len(pool.stages) != depth:
            yield f"pool {pool.name} lists {len(pool.stages)} stages for pp = {depth}"
        expected = 0
        for number, stage in enumerate(pool.stages):
            if stage.layers[0] != expected or stage.layers[1] < stage.layers[0]:
                yield f"stage {number} of pool {pool.name} holds layers {stage.layers}; it should start at layer {expected}"
                break
            if stage.device != pool.device or stage.tp != pool.parallelism.tp:
                yield f"stage {number} of pool {pool.name} is on {stage.device} with tp = {stage.tp}, unlike its pool"
            expected = stage.layers[1] + 1
        else:
            if expected != last + 1:
                yield f"the stages of pool {pool.name} end at layer {expected - 1}; the LLM ends at layer {last}"


def every_rank_once(evidence: Evidence) -> Iterator[str]:
    """Each rank of each replica has one device, healthy, of the right kind, used by nobody else."""
    nodes = evidence.instance.cluster.nodes
    for device, count in Counter(placed.device for placed in evidence.plan.placement).items():
        data = nodes.get(device, {})
        if data.get("kind") != "device":
            yield f"{device!r} is not a device of the cluster"
        elif not data["healthy"]:
            yield f"{device} is not healthy"
        if count > 1:
            yield f"{device} is used by {count} ranks"
    known = {pool.name for pool in evidence.plan.pools}
    for name in sorted(evidence.by_pool.keys() - known):
        yield f"ranks are placed for a pool {name!r} that does not exist"
    for pool in evidence.plan.pools:
        yield from _complete(evidence, pool)


def _complete(evidence: Evidence, pool: Pool) -> Iterator[str]:
    shape = pool.parallelism.shape()
    there = evidence.devices_there
    if pool.devices > there:
        yield f"pool {pool.name} needs {pool.devices:,} devices; the cluster has {there:,}"
        return
    wanted = {
        (replica, stage, rank)
        for replica in range(pool.replicas)
        for stage in range(shape.pp)
        for rank in range(shape.ranks_per_stage)
    }
    here = evidence.by_pool.get(pool.name, [])
    given = Counter((p.replica, p.stage, p.rank) for p in here)
    for place in sorted(wanted - given.keys())[:3]:
        yield f"rank {place[2]} of stage {place[1]} of replica {place[0]} of pool {pool.name} has no device"
    for place in sorted(given.keys() - wanted)[:3]:
        yield f"pool {pool.name} has no replica {place[0]}, stage {place[1]}, rank {place[2]}"
    for place in sorted(place for place, count in given.items() if count > 1)[:3]:
        yield f"rank {place[2]} of stage {place[1]} of replica {place[0]} of pool {pool.name} is placed twice"
    for placed in here:
        data = evidence.instance.cluster.nodes.get(placed.device, {})
        if data.get("kind") == "device" and data["device"] != pool.device:
            yield f"pool {pool.name} is for {pool.device}, but {placed.device} is a {data['device']}"


def domains_hold(evidence: Evidence) -> Iterator[str]:
    """A replica lies in as many domains and hosts as its plan says, in equal parts; its groups in as few as those allow."""
    if any(every_rank_once(evidence)):
        return
    for pool in evidence.plan.pools:
        for number, devices in enumerate(evidence.replicas(pool)):
            where = f"replica {number} of pool {pool.name}"
            yield from _equal_parts(where, "scale-up domains", evidence.domain_of, devices, pool.domains_per_replica)
            yield from _equal_parts(where, "hosts", evidence.host_of, devices, pool.hosts_per_replica)
            yield from _groups_are_whole(evidence, pool, where, devices)


def _equal_parts(where: str, kind: str, of: Callable[[str], str], devices: list[str], said: int) -> Iterator[str]:
    parts = Counter(of(device) for device in devices)
    if len(parts) != said or len(set(parts.values())) > 1:
        yield (
            f"{where} lies in {len(parts)} {kind} with {sorted(parts.values())} devices; the plan says {said} equal parts"
        )


def _groups_are_whole(evidence: Evidence, pool: Pool, where: str, devices: list[str]) -> Iterator[str]:
    """A stage, and each tensor-parallel group, spreads over no more domains than its size demands of equal parts.

    With d devices of the replica in each domain, n ranks in a row lie in ceil(n / d) domains.
    """
    shape = pool.parallelism.shape()
    each = max(len(devices) // pool.domains_per_replica, 1)
    for what, size in (("a stage", shape.tp * shape.dp), ("a tensor-parallel group", shape.tp)):
        most = -(-size // each)
        for start in range(0, len(devices), size):
            parts = len(evidence.domains(devices[start : start + size]))
            if parts > most:
                yield f"{what} of {where} lies in {parts} scale-up domains, where {most} would do"
                break
