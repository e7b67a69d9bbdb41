"""A plan beside what its scenario says, as far as a drawing needs it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from solver.check.evidence import Evidence
from solver.check.floor import CostFloor, floor_beneath
from solver.check.money import paid_devices
from solver.cost.instance import Instance, PromiseGroup
from solver.cost.pool.prediction import Latencies
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service
from solver.plan import Placed, Plan, Pool
from solver.view.racks import Rack, racks

#: Beyond this many devices a cluster is drawn small, rack by rack, each of which can be opened.
MOST_IN_FULL = 640

#: A device runs a rank, is billed and runs nothing, is neither used nor billed, or is not healthy.
Use = Literal["runs", "idle", "free", "broken"]


@dataclass(frozen=True)
class Scene:
    """What is drawn."""

    plan: Plan
    instance: Instance

    @classmethod
    def of(cls, plan: Plan) -> Scene:
        """Look up the names in a plan's scenario.

        Raises
        ------
        BadInput: the scenario names something that does not exist.
        """
        return cls(plan, Instance.of(plan.scenario))

    @cached_property
    def racks(self) -> tuple[Rack, ...]:
        """The cluster in the order in which it is drawn."""
        return racks(self.instance.cluster, self.instance.domain_of)

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """All devices in the order in which they are drawn."""
        return tuple(device for rack in self.racks for device in rack.devices)

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Place of each device in that order."""
        return {device: index for index, device in enumerate(self.devices)}

    @cached_property
    def placed(self) -> Mapping[str, Placed]:
        """The rank on each device in use."""
        return {rank.device: rank for rank in self.plan.placement}

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Position of each pool in the plan."""
        return {pool.name: index for index, pool in enumerate(self.plan.pools)}

    @cached_property
    def tags(self) -> Mapping[str, str]:
        """A letter or two for each pool: P, D, U for its role, numbered from the second of a role on."""
        met: Counter[str] = Counter()
        found = {}
        for pool in self.plan.pools:
            met[pool.role] += 1
            found[pool.name] = pool.role[0].upper() + (str(met[pool.role]) if met[pool.role] > 1 else "")
        return found

    @property
    def is_large(self) -> bool:
        """Whether the cluster is too large to draw every device at full size."""
        return len(self.devices) > MOST_IN_FULL

    def is_healthy(self, device: str) -> bool:
        """Whether the cluster says that a device may be used."""
        return bool(self.instance.cluster.nodes[device]["healthy"])

    def replica_on(self, device: str) -> tuple[str, int] | None:
        """Pool and number of the replica that a device has a rank of."""
        rank = self.placed.get(device)
        return None if rank is None else (rank.pool, rank.replica)

    def use(self, device: str) -> Use:
        """What a device is there for."""
        if not self.is_healthy(device):
            return "broken"
        if device in self.placed:
            return "runs"
        return "idle" if device in self._paid else "free"

    @cached_property
    def uses(self) -> Mapping[Use, int]:
        """How many devices there are of each use."""
        return Counter(self.use(device) for device in self.devices)

    @property
    def billed(self) -> int:
        """Devices that are paid for, in use or not."""
        return len(self._paid)

    @cached_property
    def _paid(self) -> frozenset[str]:
        return frozenset(paid_devices(self._evidence))

    @cached_property
    def fullest(self) -> Mapping[str, float]:
        """Utilisation of the fullest link at each vertex that has a loaded one."""
        found: dict[str, float] = defaultdict(float)
        for link in self.plan.links:
            for vertex in (link.source, link.target):
                found[vertex] = max(found[vertex], link.utilisation)
        return found

    @cached_property
    def healthy(self) -> int:
        """Devices that may be used."""
        return sum(self.is_healthy(device) for device in self.devices)

    def group(self, pool: Pool) -> PromiseGroup:
        """The classes that a pool serves, with their promises."""
        return self._evidence.group(pool)

    @cached_property
    def _evidence(self) -> Evidence:
        return Evidence(self.plan, self.instance)

    @cached_property
    def floor(self) -> CostFloor:
        """What the plan's cost is made of."""
        return floor_beneath(self._evidence)

    @property
    def priced(self) -> Mapping[str, PricedPool]:
        """Every pool as the witness prices it: with the idle KV that it keeps, at the rate that the fabric leaves it."""
        return self._evidence.priced

    @property
    def services(self) -> Mapping[str, Service]:
        """Every pool at its planned load; latencies by entry of its mix."""
        return self._evidence.services

    @property
    def derived(self) -> Mapping[str, Latencies]:
        """Latencies of every class as the witness derives them."""
        return self._evidence.class_latencies
