"""Replicas that run already: what a new plan would rather leave where it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from solver.plan import Plan
from solver.plan.diff import replicas_of
from solver.replica import Setup
from solver.space.profiles import Column


@dataclass(frozen=True)
class Standing:
    """Replicas of one setup that run and whose devices are all healthy.

    Attributes
    ----------
    replicas: devices of each, stage by stage in rank order.
    weights_bytes: what a replica would load if it moved.
    """

    setup: Setup
    device: str
    replicas: tuple[tuple[str, ...], ...]
    weights_bytes: float

    def like(self, column: Column) -> bool:
        """Whether replicas of a column hold the same weights, so that a standing one can serve as one of them."""
        return (self.device, self.setup.held) == (column.footprint.device, column.candidate.setup.held)


def standing(plan: Plan, healthy: Collection[str]) -> tuple[Standing, ...]:
    """The replicas of a plan that are whole: each of their devices is still there and healthy."""
    placed = replicas_of(plan)
    whole: dict[tuple[str, tuple[object, ...]], Standing] = {}
    for pool in plan.pools:
        setup = pool.setup()
        devices = tuple(d for d in placed.get(pool.name, []) if all(device in healthy for device in d))
        weights = pool.memory.weights_bytes * setup.parallelism.devices
        before = whole.get((pool.device, setup.held))
        whole[pool.device, setup.held] = Standing(
            setup, pool.device, (before.replicas if before else ()) + devices, weights
        )
    return tuple(group for group in whole.values() if group.replicas)
