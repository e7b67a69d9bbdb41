"""A pool as a launcher sees it: hosts of every replica, devices on each, and what the engine must be told."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from solver.cost.instance import Instance
from solver.plan import Plan, Pool
from solver.workload.kv_tiers import DRAM, tier_of

#: Port on which an engine serves, and on which the ranks of a replica meet.
SERVE_PORT, MEET_PORT = 8000, 20000
GIB = 2**30


@dataclass(frozen=True)
class Node:
    """The part of one replica on one host: its devices in rank order, and the attention ranks that start there."""

    host: str
    devices: tuple[str, ...]
    first_rank: int

    @property
    def visible(self) -> str:
        """``CUDA_VISIBLE_DEVICES``: the numbers at the end of the devices' names, which count them on their host.

        >>> Node("h0", ("h0/gpu2", "h0/gpu3"), 0).visible
        '2,3'
        """
        numbers = [re.search(r"(\d+)$", device) for device in self.devices]
        return ",".join(found[1] for found in numbers if found)


@dataclass(frozen=True)
class Deployment:
    """A plan and what its names stand for."""

    plan: Plan

    @cached_property
    def instance(self) -> Instance:
        """The scenario with its names looked up."""
        return Instance.of(self.plan.scenario)

    @property
    def model(self) -> str:
        """What to load where the user says nothing else: the name in the catalog or of the config."""
        return self.instance.llm.name

    def host_of(self, device: str) -> str:
        """Host of a device."""
        return str(self.instance.cluster.nodes[device].get("host") or device)

    def nodes(self, pool: Pool, replica: int) -> list[Node]:
        """Hosts of a replica, in the order of their first rank."""
        placed = [p for p in self.plan.placement if (p.pool, p.replica) == (pool.name, replica)]
        found: dict[str, list[str]] = defaultdict(list)
        first: dict[str, int] = {}
        for place in sorted(placed, key=lambda p: (p.stage, p.rank)):
            host = self.host_of(place.device)
            first.setdefault(host, place.rank)
            found[host].append(place.device)
        return [Node(host, tuple(devices), first[host]) for host, devices in found.items()]

    def devices_per_node(self, pool: Pool) -> list[int]:
        """Devices on each host of the pool's first replica."""
        return [len(node.devices) for node in self.nodes(pool, 0)]

    def expert_map(self, pool: Pool) -> list[list[int]] | None:
        """Experts by physical slot for every layer of a pool with spare copies or a chosen order; None where it is the usual.

        Layers without experts have the identity, as engines expect a row for every layer.
        """
        experts = self.instance.llm.experts
        rows = {m.layer: list(m.physical_to_logical) for m in self.plan.experts if m.pool == pool.name}
        if not rows:
            return None
        usual = [slot % experts for slot in range(experts + pool.redundant_experts)]
        if all(row == usual for row in rows.values()):
            return None
        return [rows.get(layer, usual) for layer in range(len(self.instance.llm.layers))]

    def map_json(self, pool: Pool) -> str | None:
        """The expert map as SGLang reads it."""
        found = self.expert_map(pool)
        return None if found is None else json.dumps({"physical_to_logical_map": found}) + "\n"

    @cached_property
    def disaggregated(self) -> bool:
        """Whether KV caches travel between pools."""
        return any(pool.role == "prefill" for pool in self.plan.pools)

    def host_memory_gib(self, pool: Pool) -> float:
        """DRAM that one replica keeps idle KV in [GiB]."""
        kept = sum(tier.bytes.get(DRAM.name, 0.0) for tier in self.plan.kv_tiers if tier.pool == pool.name)
        return kept / GIB / pool.replicas

    def lost(self, pool: Pool, engine: str) -> list[str]:
        """What no export of a pool can say."""
        found = []
        if pool.engine not in (engine, "ideal"):
            found.append(f"pool {pool.name} was planned for {pool.engine}; its speed on {engine} was not predicted")
        stored = [
            name
            for t in self.plan.kv_tiers
            if t.pool == pool.name
            for name, size in t.bytes.items()
            if size and tier_of(name).lies in ("host storage", "shared storage")
        ]
        if stored:
            found.append(f"pool {pool.name} keeps idle KV beyond DRAM; set up a storage connector of your own for it")
        ages = [t for t in self.plan.kv_tiers if t.pool == pool.name and t.dram_until_s > 0]
        if ages:
            found.append(f"{engine} evicts idle KV by recency; the ages of pool {pool.name} only give the sizes")
        return found

    def spread(self, pool: Pool) -> bool:
        """Whether the ranks of a replica's expert exchange lie in several scale-up domains."""
        return pool.parallelism.ep > 1 and pool.domains_per_replica > 1


def safe(name: str) -> str:
    """A name of a pool as part of a file name or a Kubernetes name.

    >>> safe("Prefill 2")
    'prefill-2'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "pool"
