"""A pool as a launcher sees it: hosts of every replica, devices and ports on each, and what the engine must be told."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

import topologies
from solver.cost.instance import Instance
from solver.engines import engine_rules
from solver.engines.launch import Launch, launch
from solver.llm.catalog import hugging_face_id
from solver.plan import Placed, Plan, Pool
from solver.replica import Engine, Setup
from solver.space.legality import Inquiry, connects
from solver.workload.kv_tiers import BEYOND, DRAM
from topologies import Device

GIB = 2**30


@dataclass(frozen=True)
class Ports:
    """Ports of one replica, equal on all its hosts.

    Attributes
    ----------
    serve: of its HTTP server.
    side_channel: first of its NIXL handshakes, one a data-parallel rank (vLLM).
    bootstrap: where decode asks prefill for its ranks (SGLang, Mooncake).
    meet: where its ranks meet; those after it belong to it as well (SGLang binds up to 13 more).
    """

    serve: int = 8000
    side_channel: int = 5600
    bootstrap: int = 8998
    meet: int = 20000

    #: Ports that one replica may take from ``meet`` on.
    MEETING = 20

    def shifted(self, slot: int, widest: int) -> Ports:
        """Those of the replica in a slot of its hosts.

        Parameters
        ----------
        widest: data-parallel ranks of the widest replica.
        """
        return Ports(
            self.serve + slot, self.side_channel + slot * widest, self.bootstrap + slot, self.meet + slot * self.MEETING
        )


@dataclass(frozen=True)
class Node:
    """The part of one replica on one host: its devices in the engine's rank order, and where its data parallelism begins."""

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
    """A plan and what its names stand for, as one engine is to run it."""

    plan: Plan
    engine: Engine

    @cached_property
    def instance(self) -> Instance:
        """The scenario with its names looked up."""
        return Instance.of(self.plan.scenario)

    @property
    def model(self) -> str:
        """What to load where the user says nothing else: the Hugging Face id, or the path that the scenario names."""
        config = self.plan.scenario.llm.config
        named = config if isinstance(config, str) else self.instance.llm.name
        return hugging_face_id(named) or named.removesuffix("/config.json")

    def setup(self, pool: Pool) -> Setup:
        """How a replica is set up, on this engine."""
        return replace(pool.setup(), engine=self.engine)

    def device(self, pool: Pool) -> Device:
        """Kind of a pool's devices."""
        return topologies.devices_of(self.instance.cluster)[pool.device]

    def launch(self, pool: Pool) -> Launch:
        """What follows from the replica's shape."""
        return launch(self.instance.llm, self.device(pool), self.setup(pool))

    def host_of(self, device: str) -> str:
        """Host of a device."""
        return str(self.instance.cluster.nodes[device].get("host") or device)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """All hosts in use, in the order of pools and ranks."""
        found = (node.host for pool in self.plan.pools for r in range(pool.replicas) for node in self.nodes(pool, r))
        return tuple(dict.fromkeys(found))

    def nodes(self, pool: Pool, replica: int) -> list[Node]:
        """Hosts of a replica, in the order of their first rank."""
        order = self._data_first if self.engine == "vllm" and pool.parallelism.dp > 1 else self._stage_first
        placed = self._placed[pool.name, replica]
        found: dict[str, list[str]] = defaultdict(list)
        first: dict[str, int] = {}
        for place in sorted(placed, key=lambda p: order(pool, p)):
            host = self.host_of(place.device)
            first.setdefault(host, place.rank // pool.parallelism.tp)
            found[host].append(place.device)
        return [Node(host, tuple(devices), first[host]) for host, devices in found.items()]

    @staticmethod
    def _stage_first(pool: Pool, place: Placed) -> tuple[int, ...]:
        """Engines number the ranks of a group of workers stage by stage."""
        return place.stage, place.rank

    @staticmethod
    def _data_first(pool: Pool, place: Placed) -> tuple[int, ...]:
        """vLLM's data-parallel ranks are groups of workers of their own, one after the other."""
        return place.rank // pool.parallelism.tp, place.stage, place.rank

    @cached_property
    def _placed(self) -> dict[tuple[str, int], list[Placed]]:
        found: dict[tuple[str, int], list[Placed]] = defaultdict(list)
        for place in self.plan.placement:
            found[place.pool, place.replica].append(place)
        return found

    def devices_per_node(self, pool: Pool) -> list[int]:
        """Devices on each host of the pool's first replica."""
        return [len(node.devices) for node in self.nodes(pool, 0)]

    @cached_property
    def ports(self) -> dict[tuple[str, int], Ports]:
        """Ports of every replica: it has the lowest slot that is free on all its hosts."""
        widest = max(pool.parallelism.dp for pool in self.plan.pools)
        taken: dict[str, set[int]] = defaultdict(set)
        found = {}
        for pool, replica in self.replicas:
            hosts = [node.host for node in self.nodes(pool, replica)]
            used = set().union(*(taken[host] for host in hosts))
            slot = next(number for number in range(len(used) + 1) if number not in used)
            for host in hosts:
                taken[host].add(slot)
            found[pool.name, replica] = Ports().shifted(slot, widest)
        return found

    @property
    def replicas(self) -> Iterator[tuple[Pool, int]]:
        """Every replica of every pool."""
        return ((pool, replica) for pool in self.plan.pools for replica in range(pool.replicas))

    def connector(self, pool: Pool) -> str | None:
        """How this engine hands the pool's KV caches over: as planned, or the first way that connects all pools."""
        if pool.role == "unified" or pool.engine == self.engine:
            return pool.connector
        return self._connector

    @cached_property
    def _connector(self) -> str | None:
        sides = [[self.setup(pool) for pool in self.plan.pools if pool.role == role] for role in ("prefill", "decode")]
        ours = engine_rules(self.engine).connectors
        asked = [Inquiry(self.instance.llm, engine_rules(self.engine), self._any_device, side) for side in sides]
        return next((each.name for each in ours if np.all(connects(each, *asked))), ours[0].name)

    @property
    def _any_device(self) -> Device:
        return self.device(self.plan.pools[0])

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

    def layer_counts(self, pool: Pool) -> list[int]:
        """Layers of every pipeline stage."""
        return [last - first + 1 for first, last in (stage.layers for stage in pool.stages)]

    @cached_property
    def longest_prompt(self) -> int:
        """Tokens of the longest prompt that a prefill replica must be able to hand over."""
        return self.instance.longest

    def reuses(self, pool: Pool) -> bool:
        """Whether any class that a pool serves finds tokens in its caches, or the pool keeps some for it."""
        classes = [c for c in self.plan.scenario.traffic.classes if c.name in pool.serves]
        return bool(self.kept_bytes(pool)) or any(c.reused_tokens.shared + c.reused_tokens.private > 0 for c in classes)

    def kept_bytes(self, pool: Pool) -> dict[str, float]:
        """Idle KV that one replica keeps beyond its devices, by tier [bytes]."""
        found = {
            tier.name: sum(row.bytes.get(tier.name, 0.0) for row in self.plan.kv_tiers if row.pool == pool.name)
            for tier in BEYOND
        }
        return {name: size / pool.replicas for name, size in found.items() if size}

    def host_memory_bytes(self, pool: Pool) -> float:
        """DRAM that one replica keeps idle KV in [bytes]; a little of it where KV only passes on its way to storage."""
        kept = self.kept_bytes(pool)
        return kept.get(DRAM.name, 0.0) or (float(GIB) * pool.parallelism.shape().devices if kept else 0.0)

    def lost(self, pool: Pool) -> list[str]:
        """What no export of a pool can say."""
        found = []
        if pool.engine not in (self.engine, "ideal"):
            found.append(
                f"pool {pool.name} was planned for {pool.engine}; its speed on {self.engine} was not predicted"
            )
        inquiry = Inquiry(self.instance.llm, engine_rules(self.engine), self.device(pool), [self.setup(pool)])
        found += [f"{self.engine} would not start pool {pool.name}: {r.because}" for r in inquiry.refusals()[0]]
        if any(t.dram_until_s > 0 for t in self.plan.kv_tiers if t.pool == pool.name):
            found.append(f"{self.engine} evicts idle KV by recency; the ages of pool {pool.name} only give the sizes")
        counts = self.devices_per_node(pool)
        if len(set(counts)) > 1:
            found.append(
                f"a replica of pool {pool.name} has {counts} devices on its hosts; engines expect as many on each"
            )
        return found

    @cached_property
    def nvlink_hosts(self) -> frozenset[str]:
        """Hosts in use whose devices reach those of another host in use over NVLink."""
        found: set[str] = set()
        for domain in topologies.scale_up_domains(self.instance.cluster):
            ours = set(domain.host_names) & set(self.hosts)
            found |= ours if len(ours) > 1 else set()
        return frozenset(found)


def safe(name: str) -> str:
    """A name of a pool as part of a file name or a Kubernetes name.

    >>> safe("Prefill 2")
    'prefill-2'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "pool"
