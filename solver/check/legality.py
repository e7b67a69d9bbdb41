"""Every pool starts on the engine that it names, and pools of one promise can hand over."""

from __future__ import annotations

from collections.abc import Iterator

from solver.check.engines import handover, start
from solver.check.evidence import Evidence
from solver.plan import Pool


def engine_would_start(evidence: Evidence) -> Iterator[str]:
    """Replicas keep what their engine demands of degrees, widths, exchange and hosts."""
    instance = evidence.instance
    for pool in evidence.plan.pools:
        shape = pool.parallelism.shape()
        opening = f"{pool.engine} would not start pool {pool.name} ({shape})"
        if shape.devices % pool.hosts_per_replica:
            yield f"{opening}: {shape.devices} devices do not divide over {pool.hosts_per_replica} hosts"
            continue
        faults = start.refusals(instance.llm, instance.devices[pool.device], pool.setup())
        yield from (f"{opening}: {fault}" for fault in faults)


def pools_connect(evidence: Evidence) -> Iterator[str]:
    """Every prefill replica of a promise can hand its KV cache to every decode replica over the connector that is named."""
    plan = evidence.plan
    for pool in plan.pools:
        known = handover.CONNECTORS[pool.engine]
        if pool.role == "unified":
            if pool.connector is not None:
                yield f"pool {pool.name} is unified and hands nothing over, but names {pool.connector}"
        elif pool.connector not in known:
            yield f"pool {pool.name} names {pool.connector}; {pool.engine} has {', '.join(known)}"
    for prefill in (pool for pool in plan.pools if pool.role == "prefill"):
        for decode in (pool for pool in plan.pools if pool.role == "decode" and pool.serves == prefill.serves):
            if prefill.connector != decode.connector:
                yield f"pools {prefill.name} and {decode.name} name {prefill.connector} and {decode.connector}"
            faults = _between(evidence, prefill, decode)
            yield from (f"pool {prefill.name} cannot hand over to pool {decode.name}: {fault}" for fault in faults)


def steps_hold_their_prompts(evidence: Evidence) -> Iterator[str]:
    """Only prefill replicas take several prompts a step, and the longest of them fit its tokens together."""
    for pool in evidence.plan.pools:
        together = pool.prompts_per_step
        if pool.role != "prefill" and together != 1:
            yield f"pool {pool.name} is said to take {together} prompts a step; only prefill pools take more than one"
        longest = evidence.mix(pool).longest_prompt
        if together > 1 and together * longest > pool.chunk_tokens:
            yield (
                f"{together} prompts of {longest:.0f} tokens do not fit the {pool.chunk_tokens} tokens of a step of pool "
                f"{pool.name}"
            )


def _between(evidence: Evidence, prefill: Pool, decode: Pool) -> Iterator[str]:
    instance = evidence.instance
    devices = instance.devices[prefill.device], instance.devices[decode.device]
    yield from handover.refusals(instance.llm, devices, prefill.setup(), decode.setup(), decode.connector or "")
