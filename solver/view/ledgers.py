"""What fills the memory of a rank, stage by stage."""

from __future__ import annotations

from solver.plan import Memory, Pool
from solver.view.scene import Scene


def stage_ledgers(scene: Scene, pool: Pool) -> tuple[Memory, ...]:
    """Memory of a rank of each pipeline stage [bytes], with as many sequences as the engine is told to allow."""
    stages = scene.priced[pool.name].stage_memory_bytes(pool.limits.max_sequences, pool.requests_per_s_per_replica)
    return tuple(Memory(**parts) for parts in stages)
