"""Replicas that run already: what a new plan would rather leave where it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from solver.cost.steps.work import Stages
from solver.plan import Plan
from solver.plan.diff import replicas_of
from solver.replica import Parallelism, Role
from solver.space.profiles import Column


@dataclass(frozen=True)
class Standing:
    """Replicas of one shape that run and whose devices are all healthy.

    Attributes
    ----------
    redundant: spare expert copies of a replica.
    replicas: devices of each, stage by stage in rank order.
    weights_bytes: what a replica would load if it moved.
    """

    role: Role
    device: str
    parallelism: Parallelism
    stages: Stages
    redundant: int
    replicas: tuple[tuple[str, ...], ...]
    weights_bytes: float

    def like(self, column: Column) -> bool:
        """Whether replicas of a column are of this shape, so that a standing one can serve as one of them."""
        shape = column.candidate.shape
        ours = self.role, self.device, self.parallelism, self.redundant, self.stages
        return ours == (column.role, shape.footprint.device, shape.parallelism, shape.redundant, column.stages)


def standing(plan: Plan, healthy: Collection[str]) -> tuple[Standing, ...]:
    """The replicas of a plan that are whole: each of their devices is still there and healthy."""
    placed = replicas_of(plan)
    whole: dict[tuple[Role, str, Parallelism, Stages, int, float], list[tuple[str, ...]]] = defaultdict(list)
    for pool in plan.pools:
        shape = pool.parallelism.shape()
        stages = tuple(stage.layers for stage in pool.stages)
        weights = pool.memory.weights_bytes * shape.devices
        key = pool.role, pool.device, shape, stages, pool.redundant_experts, weights
        whole[key] += [devices for devices in placed.get(pool.name, []) if all(d in healthy for d in devices)]
    return tuple(
        Standing(role, device, shape, stages, spare, tuple(replicas), weights)
        for (role, device, shape, stages, spare, weights), replicas in whole.items()
        if replicas
    )
