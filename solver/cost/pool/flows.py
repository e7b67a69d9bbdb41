"""Bytes that a plan's pools put on the fabric: who sends to whom, and how much.

Every pattern is spread evenly over its members, so a flow is a set of senders, a set of receivers and a rate.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import networkx as nx
import numpy as np

from solver.cost.network.contention import cross
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.retention import Retention
from solver.cost.pool.serving import Service
from solver.cost.steps.step import fastest_exchange
from solver.llm import LLM, Layer
from solver.workload import RequestClass
from solver.workload.kv_tiers import KVTierName, MemoryTier, tier_of
from topologies import Routes
from topologies.routes import FlowSum

Link = tuple[str, str]


@dataclass(frozen=True)
class Flow:
    """Each sender sends ``bytes_per_s`` in all, evenly to the receivers other than itself."""

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    bytes_per_s: float

    def add(self, traffic: FlowSum) -> None:
        """Add it to what loads the links."""
        traffic.uniform(self.senders, self.receivers, self.bytes_per_s)


@dataclass(frozen=True)
class Crossing:
    """Each member sends ``bytes_per_s`` out of its scale-up domain, evenly to the members in others."""

    members: tuple[str, ...]
    bytes_per_s: float

    def add(self, traffic: FlowSum) -> None:
        """Add it to what loads the links."""
        cross(traffic, self.members, self.bytes_per_s)


@dataclass(frozen=True)
class Pairs:
    """Bytes/s from one vertex to another, devices, hosts and stores alike."""

    rates: Mapping[Link, float]

    def add(self, traffic: FlowSum) -> None:
        """Add it to what loads the links."""
        traffic.add(self.rates)


#: Anything that loads links.
Sending = Flow | Crossing | Pairs


@dataclass(frozen=True)
class Stream:
    """Tokens of one kind that pass an attention rank: per second, and in a step that carries them."""

    tokens_per_s: float
    tokens_per_step: float


@dataclass(frozen=True)
class Running:
    """A pool at its planned load, and the devices of each replica in rank order (stage by stage)."""

    priced: PricedPool
    service: Service
    replicas: tuple[tuple[str, ...], ...]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Prompts in chunks, and running sequences with their drafts, as far as the role has them."""
        setup, mix = self.priced.setup, self.priced.mix
        rate = float(self.service.requests_per_s[0]) / setup.parallelism.dp
        prompt, queries = float(mix.mean(mix.prompt)), 1.0 + setup.draft_tokens
        steps = mix.mean_output / float(self.priced.replicas.accepted[0])
        batch = max(float(self.service.batch[0]), 1.0) / setup.parallelism.pp
        prompts = Stream(rate * prompt, min(prompt * setup.prompts_per_step, float(setup.chunk_tokens)))
        sequences = Stream(rate * steps * queries, batch * queries)
        return {"prefill": (prompts,), "decode": (sequences,), "unified": (prompts, sequences)}[setup.role]

    @property
    def tokens_per_s(self) -> float:
        """Tokens that one attention rank group (tp ranks) moves through its layers per second."""
        return math.fsum(stream.tokens_per_s for stream in self.streams)


def pool_flows(llm: LLM, pool: Running) -> Iterator[Sending]:
    """Collectives and stage sends of all replicas of a pool."""
    shape = pool.priced.setup.parallelism
    cuts = pool.priced.setup.stages or ((0, len(llm.layers) - 1),)
    exchanged = _exchanged_bytes(llm, pool) if shape.dp > 1 else {}
    for devices in pool.replicas:
        stages = _stages(devices, shape.ranks_per_stage)
        for stage, (first, last) in zip(stages, cuts, strict=True):
            layers = llm.layers[first : last + 1]
            yield from _tensor_parallel(llm, pool, stage, len(layers))
            if exchanged:
                yield from _experts(pool, stage, [exchanged[layer] for layer in layers])
        for one, following in itertools.pairwise(stages):
            for source, sink in zip(one, following, strict=True):
                yield Flow((source,), (sink,), pool.tokens_per_s * llm.hidden * 2 / shape.tp)


def _stages(devices: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(devices[start : start + size]) for start in range(0, len(devices), size)]


def _tensor_parallel(llm: LLM, pool: Running, stage: tuple[str, ...], layers: int) -> Iterator[Sending]:
    """Two all-reduces a layer, each moving 2 (n - 1) / n of the activations out of every rank of a domain.

    Over d domains each rank's shard also moves 2 (d - 1) / d of itself between them.
    """
    setup = pool.priced.setup
    tp, domains = setup.parallelism.tp, setup.tensor_domains
    if tp == 1:
        return
    local = tp // domains
    reduced = 2 * layers * pool.tokens_per_s * llm.hidden * 2
    for group in _stages(stage, tp):
        for part in _stages(group, local):
            if local > 1:
                yield Flow(part, part, reduced * 2 * (local - 1) / local)
        if domains > 1:
            yield Crossing(group, reduced / local * 2 * (domains - 1) / domains)


def _exchanged_bytes(llm: LLM, pool: Running) -> dict[Layer, tuple[float, float]]:
    """What a rank sends in the expert exchange of each kind of layer, out of its domain and within it [B/s]."""
    of = pool.priced.replicas
    outside, inside = np.zeros(len(llm.layer_kinds)), np.zeros(len(llm.layer_kinds))
    for stream in pool.streams:
        taken = fastest_exchange(of.work, of.speeds, of.group, np.array([stream.tokens_per_step]))
        steps_per_s = stream.tokens_per_s / stream.tokens_per_step
        outside += taken.outside_bytes[0] * steps_per_s
        inside += taken.inside_bytes[0] * steps_per_s
    kinds = (layer for layer, _ in llm.layer_kinds)
    return dict(zip(kinds, zip(outside.tolist(), inside.tolist(), strict=True), strict=True))


def _experts(pool: Running, stage: tuple[str, ...], sent: Sequence[tuple[float, float]]) -> Iterator[Sending]:
    """Dispatch and combine of a stage's layers, as the kernels that its steps are priced with send them."""
    outside, inside = (math.fsum(each) for each in zip(*sent, strict=True))
    if outside:
        yield Crossing(stage, outside)
    if inside:
        each = len(stage) // pool.priced.setup.exchange_domains
        for part in _stages(stage, each):
            if len(part) > 1:
                yield Flow(part, part, inside)


def kv_flow(llm: LLM, prefill: Running, decode: Running, share: float) -> Flow:
    """KV of every prompt from the prefill replicas to the decode replicas.

    Parameters
    ----------
    share: of the prompts of the prefill pool that go to this decode pool.
    """
    mix = prefill.priced.mix
    size = float(mix.mean(np.array(_kv_bytes(llm, prefill))))
    senders = tuple(itertools.chain(*prefill.replicas))
    rate = float(prefill.service.requests_per_s[0]) * len(prefill.replicas) * share
    return Flow(senders, tuple(itertools.chain(*decode.replicas)), rate * size / len(senders))


def kept_flow(llm: LLM, decode: Running, prefill: Running, classes: Sequence[RequestClass]) -> Flow:
    """KV of generated tokens from the decode replicas back to the prefill replicas, of classes whose sessions return."""
    rate = float(decode.service.requests_per_s[0]) * len(decode.replicas)
    sizes = [
        llm.kv_bytes(float(c.prompt_tokens + c.output_tokens)) - llm.kv_bytes(float(c.prompt_tokens))
        if c.returns
        else 0.0
        for c in classes
    ]
    arrivals = np.array([c.requests_per_s for c in classes])
    size = float(np.dot(arrivals, sizes) / arrivals.sum())
    senders = tuple(itertools.chain(*decode.replicas))
    return Flow(senders, tuple(itertools.chain(*prefill.replicas)), rate * size / len(senders))


def _kv_bytes(llm: LLM, pool: Running) -> list[float]:
    mix = pool.priced.mix
    return [llm.kv_bytes(float(tokens)) for tokens in mix.prompt + mix.cached]


class IdleKV(Protocol):
    """What a plan says of one class's idle KV, as far as links feel it.

    Attributes
    ----------
    hit_rate_by_tier: share of the requests that find their history in each tier. found_tokens: that each of these finds.
    bytes_per_s: loaded from and written to each tier.
    """

    @property
    def hit_rate_by_tier(self) -> Mapping[KVTierName, float]: ...
    @property
    def found_tokens(self) -> int: ...
    @property
    def bytes_per_s(self) -> Mapping[KVTierName, float]: ...


def idle_kv_flows(
    llm: LLM,
    cluster: nx.Graph[str],
    record: IdleKV,
    request_class: RequestClass,
    requests_per_s: float,
    devices: Sequence[str],
) -> Iterator[Pairs]:
    """Loads and write-outs of a class's idle KV between a pool's devices and the tiers, each device an equal part."""
    per_token = Retention.of(request_class, output_kept=True).bytes_per_token(llm)
    for name, moved in record.bytes_per_s.items():
        loaded = requests_per_s * record.hit_rate_by_tier.get(name, 0.0) * record.found_tokens * per_token
        rates: dict[Link, float] = defaultdict(float)
        tier = _Tier(cluster, tier_of(name))
        for device in devices:
            places = tier.places(device)
            for place in places:
                share = len(devices) * len(places)
                rates[place, device] += min(loaded, moved) / share
                rates[device, place] += max(moved - loaded, 0.0) / share
        yield Pairs(dict(rates))


class _Tier:
    """Where a tier lies."""

    def __init__(self, cluster: nx.Graph[str], tier: MemoryTier) -> None:
        self._cluster, self._tier = cluster, tier
        self._kinds = nx.get_node_attributes(cluster, "kind")
        stores = (v for v, kind in self._kinds.items() if kind == "storage")
        self._shared = [v for v in stores if all(self._kinds[n] != "host" for n in cluster[v])]

    def places(self, device: str) -> list[str]:
        """Vertices at which a device finds it: its host, that host's stores, or every store on a switch."""
        host = str(self._cluster.nodes[device]["host"])
        if self._tier.lies == "host memory":
            return [host]
        if self._tier.lies == "host storage":
            return [v for v in self._cluster[host] if self._kinds[v] == "storage"]
        return self._shared


def link_loads(routes: Routes, flows: Iterable[Sending]) -> dict[Link, float]:
    """Bytes/s on every directed link that carries any."""
    traffic = routes.traffic()
    for flow in flows:
        flow.add(traffic)
    return routes.links.named(traffic.loads())
