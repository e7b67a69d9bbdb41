"""What fills the memory of a rank, stage by stage."""

from __future__ import annotations

import numpy as np

from solver.cost.queueing import FULL, normal_quantile
from solver.plan import Memory, Pool
from solver.view.scene import Scene


def stage_ledgers(scene: Scene, pool: Pool) -> tuple[Memory, ...]:
    """Memory of a rank of each pipeline stage, with as many sequences as the engine is told to allow."""
    priced = scene.priced[pool.name]
    ledger, mix = priced.replicas.ledger, priced.mix
    mean = ledger.kv_bytes(np.array([mix.context]))[0]
    spread = ledger.kv_bytes(np.array([mix.context + mix.context_deviation]))[0] - mean
    sequences = pool.limits.max_sequences
    kv = sequences * mean + normal_quantile(FULL) * np.sqrt(sequences) * spread
    return tuple(
        Memory(
            weights_bytes=float(ledger.weights[0, stage]),
            kv_bytes=float(kv[stage]),
            activation_bytes=float(ledger.activations[0, stage]),
            buffer_bytes=float(ledger.buffers[0, stage]),
            reserve_bytes=float(ledger.reserve[0]),
            capacity_bytes=float(ledger.capacity[0]),
        )
        for stage in range(pool.parallelism.pp)
    )


def parts(memory: Memory) -> tuple[float, float, float, float, float]:
    """Weights, KV cache, activations, buffers and reserve [bytes]."""
    m = memory
    return m.weights_bytes, m.kv_bytes, m.activation_bytes, m.buffer_bytes, m.reserve_bytes
