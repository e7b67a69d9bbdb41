"""What the witness works from: the plan, its scenario's physics, and each pool priced afresh."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property, partial

from solver.check.stays import Stay, served
from solver.cost.calibration import Calibration
from solver.cost.instance import Instance, PromiseGroup
from solver.cost.network.contention import Exchange, exchanges, slowed
from solver.cost.pool.draws import DrawnGroup, DrawnPool, Worlds, worlds
from solver.cost.pool.mix import Mix
from solver.cost.pool.prediction import Latencies, Part, class_latencies
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.retention import by_class
from solver.cost.pool.serving import Service
from solver.plan import Placed, Plan, Pool
from topologies import Routes

#: Figures that are derived twice agree to this relative difference.
TOLERANCE = 1e-6


def differs(one: float, other: float, tolerance: float = TOLERANCE) -> bool:
    """Whether two figures disagree by more than rounding."""
    return not math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-12)


class Evidence:
    """A plan beside what its scenario says."""

    def __init__(self, plan: Plan, instance: Instance) -> None:
        self.plan = plan
        self.instance = instance.shared_as(pool.serves for pool in plan.pools)

    @cached_property
    def by_pool(self) -> dict[str, list[Placed]]:
        """Ranks of every pool, in the plan's order."""
        found: dict[str, list[Placed]] = defaultdict(list)
        for placed in self.plan.placement:
            found[placed.pool].append(placed)
        return dict(found)

    @cached_property
    def devices_there(self) -> int:
        """Devices of the cluster, healthy or not."""
        return sum(data["kind"] == "device" for _, data in self.instance.cluster.nodes(data=True))

    def group(self, pool: Pool) -> PromiseGroup:
        """The classes that a pool serves, with their promises."""
        return next(g for g in self.instance.groups if pool.serves == tuple(c.name for c in g.classes))

    def calibration(self, pool: Pool) -> Calibration:
        """The calibration of a pool's engine on its device."""
        return self.instance.calibration(pool.engine, pool.device)[0]

    def replicas(self, pool: Pool) -> list[list[str]]:
        """Devices of each replica, stage by stage in rank order."""
        ranked = sorted(self.by_pool.get(pool.name, ()), key=lambda p: (p.replica, p.stage, p.rank))
        found: dict[int, list[str]] = defaultdict(list)
        for placed in ranked:
            found[placed.replica].append(placed.device)
        return [found[replica] for replica in sorted(found)]

    def domain_of(self, device: str) -> str:
        """Scale-up domain of a device."""
        return self.instance.domain_of(device)

    def host_of(self, device: str) -> str:
        """Host of a device."""
        return str(self.instance.cluster.nodes[device]["host"])

    def domains(self, devices: Iterable[str]) -> list[str]:
        """Distinct scale-up domains of some devices, sorted."""
        return sorted({self.domain_of(device) for device in devices})

    @property
    def routes(self) -> Routes:
        """Routes of the cluster."""
        return self.instance.routes

    @cached_property
    def exchanges(self) -> dict[str, Exchange | None]:
        """What the fabric leaves to every pool's expert exchange."""
        stages = [
            [replica[start : start + size] for replica in self.replicas(pool) for start in range(0, len(replica), size)]
            for pool in self.plan.pools
            for size in [pool.parallelism.shape().ranks_per_stage]
        ]
        return dict(zip((pool.name for pool in self.plan.pools), exchanges(self.routes, stages), strict=True))

    @cached_property
    def priced(self) -> dict[str, PricedPool]:
        """Every pool priced afresh."""
        return {pool.name: self._price(pool) for pool in self.plan.pools}

    def _price(self, pool: Pool) -> PricedPool:
        fleet = slowed(self.instance.fleet(pool.device), self.exchanges[pool.name])
        return PricedPool.of(
            pool.setup(),
            pool.replicas,
            self.instance.llm,
            fleet,
            self.calibration(pool),
            self.mix(pool),
            imbalance=pool.imbalance,
            accepted=self.instance.accepted(pool.draft_tokens, pool.role),
        )

    def mix(self, pool: Pool) -> Mix:
        """What a pool serves: its classes, with the idle KV that the plan keeps for them there."""
        records = {tier.request_class: tier for tier in self.plan.kv_tiers if tier.pool == pool.name}
        classes = self.group(pool).classes
        if not records:
            return self.group(pool).mix
        stays = [Stay(c, records[c.name], pool.role) if c.name in records else None for c in classes]
        return served(classes, stays)

    @cached_property
    def latencies(self) -> dict[str, Service]:
        """Operating points with latencies per class: hits and misses together, histories loaded."""
        return {pool.name: self._by_class(pool, self.services[pool.name]) for pool in self.plan.pools}

    def _by_class(self, pool: Pool, service: Service) -> Service:
        loads = {tier.request_class: tier.load_s for tier in self.plan.kv_tiers if tier.pool == pool.name}
        names = [c.name for c in self.group(pool).classes]
        return by_class(service, self.priced[pool.name].mix, len(names), [loads.get(name, 0.0) for name in names])

    @cached_property
    def class_latencies(self) -> dict[str, Latencies]:
        """Latencies of every class over the pools that serve it."""
        found = {}
        for group in self.instance.groups:
            names = tuple(c.name for c in group.classes)
            pools = [pool for pool in self.plan.pools if pool.serves == names]
            parts = [Part(pool.role, self.share(pool), self.latencies[pool.name]) for pool in pools]
            for position, request_class in enumerate(group.classes):
                found[request_class.name] = class_latencies(parts, position, request_class)
        return found

    def share(self, pool: Pool) -> float:
        """Of the requests of its promise that a pool serves in its role."""
        return self.plan.routing[pool.serves[0]][pool.role][pool.name]

    @cached_property
    def worlds(self) -> Worlds:
        """The plan under every draw of what its predictions may be off by."""
        return worlds(self.drawn_groups)

    @property
    def drawn_names(self) -> list[list[str]]:
        """Names of the pools of every group of :attr:`drawn_groups`."""
        groups = [tuple(c.name for c in group.classes) for group in self.instance.groups]
        return [[pool.name for pool in self.plan.pools if pool.serves == names] for names in groups]

    @cached_property
    def drawn_groups(self) -> list[DrawnGroup]:
        """The pools of every promise with what they may be off by."""
        groups = []
        for group in self.instance.groups:
            names = tuple(c.name for c in group.classes)
            pools = [
                DrawnPool(
                    pool.role,
                    self.share(pool),
                    self.priced[pool.name],
                    float(pool.limits.max_sequences),
                    pool.requests_per_s_per_replica,
                    self.instance.surprises(pool.device, [pool.setup()])[:, 0],
                    partial(self._by_class, pool),
                )
                for pool in self.plan.pools
                if pool.serves == names
            ]
            rates = [self.plan.prediction.classes[name].requests_per_s for name in names]
            groups.append(DrawnGroup(group.classes, group.slos, rates, pools))
        return groups

    @cached_property
    def services(self) -> dict[str, Service]:
        """Every pool at its planned load."""
        return {pool.name: self.priced[pool.name].at(pool.requests_per_s_per_replica) for pool in self.plan.pools}
