"""Memory of every rank, and what the engines are told of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from solver.check.evidence import TOLERANCE, Evidence, differs
from solver.cost.steps.memory import largest_step
from solver.engines import engine_rules
from solver.engines.memory import MOST_FRACTION
from solver.plan import Pool

#: Tokens of one rank that the low-latency expert exchange of an engine takes in a step.
MOST_EXCHANGED = {"vllm": 1024, "sglang": 1024, "trtllm": 4096}


def ledger_holds(evidence: Evidence) -> Iterator[str]:
    """The ledger is the fullest rank's, and its parts fit into the capacity."""
    for pool in evidence.plan.pools:
        derived = evidence.priced[pool.name].memory_bytes(pool.limits.max_sequences, pool.requests_per_s_per_replica)
        claimed = pool.memory.model_dump()
        for part, value in derived.items():
            if differs(claimed[part], value, 1e-4 if part == "idle_kv_bytes" else TOLERANCE):
                yield f"memory.{part} of pool {pool.name} is {claimed[part]:.6g}; the ledger gives {value:.6g}"
        used = math.fsum(value for part, value in claimed.items() if part != "capacity_bytes")
        if used > claimed["capacity_bytes"] * (1 + 1e-9):
            yield f"a rank of pool {pool.name} needs {used:.6g} bytes; the engine may fill {claimed['capacity_bytes']:.6g}"


def limits_hold(evidence: Evidence) -> Iterator[str]:
    """What the engine is told suffices for the plan, and fits."""
    for pool in evidence.plan.pools:
        yield from _limits(evidence, pool)


def _limits(evidence: Evidence, pool: Pool) -> Iterator[str]:
    limits, priced = pool.limits, evidence.priced[pool.name]
    if limits.max_length != evidence.instance.longest:
        yield f"pool {pool.name} accepts {limits.max_length} tokens; the scenario needs {evidence.instance.longest}"
    ledger = priced.replicas.ledger
    if np.any(ledger.kv_bytes(np.array([float(limits.max_length)])) > ledger.kv_room):
        yield f"the KV cache of pool {pool.name} has no room for one request of {limits.max_length} tokens"
    if pool.role != "prefill" and limits.max_sequences < pool.batch_per_rank:
        yield f"pool {pool.name} runs {pool.batch_per_rank:.4g} sequences a rank but is allowed {limits.max_sequences}"
    needed = pool.chunk_tokens if pool.role != "decode" else limits.max_sequences
    if limits.max_batched_tokens < needed:
        yield f"pool {pool.name} needs steps of {needed} tokens but is allowed {limits.max_batched_tokens}"
    drafted = limits.max_sequences * (1 + pool.draft_tokens)
    most = max(drafted, 1) if pool.role == "decode" else max(pool.chunk_tokens, drafted)
    if limits.max_batched_tokens > most:
        yield f"pool {pool.name} allows steps of {limits.max_batched_tokens} tokens but is priced for {most}"
    tokens = drafted
    if pool.role == "decode" and pool.setup().exchange_domains > 1 and tokens > MOST_EXCHANGED.get(pool.engine, tokens):
        yield (
            f"a rank of pool {pool.name} may send {tokens} tokens a step to experts in other domains; the low-latency "
            f"exchange of {pool.engine} takes {MOST_EXCHANGED[pool.engine]}"
        )
    known = _fractions(evidence, pool)
    if all(differs(limits.memory_fraction, fraction) for fraction in known):
        allowed = " or ".join(f"{fraction:g}" for fraction in known)
        yield f"pool {pool.name} has memory_fraction {limits.memory_fraction}; the scenario and its engine say {allowed}"
    usual = engine_rules(pool.engine, pool.engine_version).captured_batch_sizes
    sizes = (*(size for size in usual if size < limits.max_sequences), limits.max_sequences) if usual else ()
    if limits.captured_batch_sizes != sizes:
        yield (
            f"pool {pool.name} captures graphs of batches that are not {pool.engine}'s own up to its {limits.max_sequences} "
            "sequences, at which steps are priced"
        )


def _fractions(evidence: Evidence, pool: Pool) -> tuple[float, ...]:
    """Memory fractions that a pool may be told: the scenario's, else the engine's default or the most that people set."""
    told = evidence.plan.scenario.options.memory_fraction
    if told is not None:
        return (told,)
    default = replace(pool.setup(), memory_fraction=None)
    rules, device = engine_rules(pool.engine, pool.engine_version), evidence.instance.devices[pool.device]
    return float(rules.memory.fractions(device, [default], largest_step([default], rules))[0]), MOST_FRACTION
