"""Bytes that a plan's pools put on the fabric: who sends to whom, and how much.

Every pattern is spread evenly over its members, so a flow is a set of senders, a set of receivers and a rate.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from solver.cost.pools import PricedPool
from solver.cost.serving import Service
from solver.cost.work import COMBINE_WIDTH, DISPATCH_WIDTH
from solver.llm import LLM
from solver.workload import RequestClass
from topologies import Routes


@dataclass(frozen=True)
class Flow:
    """Each sender sends ``bytes_per_s`` in all, evenly to the receivers other than itself."""

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    bytes_per_s: float


@dataclass(frozen=True)
class Running:
    """A pool at its planned load, and the devices of each replica in rank order (stage by stage)."""

    priced: PricedPool
    service: Service
    replicas: tuple[tuple[str, ...], ...]

    @property
    def tokens_per_s(self) -> float:
        """Tokens that one attention rank group (tp ranks) moves through its layers per second."""
        spec, mix = self.priced.spec, self.priced.mix
        rate = float(self.service.requests_per_s[0]) / spec.parallelism.dp
        prompt, output = float(mix.mean(mix.prompt)), mix.mean_output
        return rate * {"prefill": prompt, "decode": output, "unified": prompt + output}[spec.role]


def pool_flows(llm: LLM, pool: Running) -> Iterator[Flow]:
    """Collectives and stage sends of all replicas of a pool."""
    shape = pool.priced.spec.parallelism
    for devices in pool.replicas:
        for stage, (first, last) in zip(_stages(devices, shape.ranks_per_stage), _cuts(llm, pool), strict=True):
            layers = llm.layers[first : last + 1]
            yield from _tensor_parallel(llm, pool, stage, len(layers))
            yield from _experts(pool, stage, layers)
        for one, following in itertools.pairwise(_stages(devices, shape.ranks_per_stage)):
            for source, sink in zip(one, following, strict=True):
                yield Flow((source,), (sink,), pool.tokens_per_s * llm.hidden * 2 / shape.tp)


def _stages(devices: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(devices[start : start + size]) for start in range(0, len(devices), size)]


def _cuts(llm: LLM, pool: Running) -> Sequence[tuple[int, int]]:
    return pool.priced.spec.stages or ((0, len(llm.layers) - 1),)


def _tensor_parallel(llm: LLM, pool: Running, stage: tuple[str, ...], layers: int) -> Iterator[Flow]:
    """Two all-reduces a layer, each moving 2 (n - 1) / n of the activations out of every rank."""
    tp = pool.priced.spec.parallelism.tp
    if tp == 1:
        return
    sent = 2 * layers * 2 * (tp - 1) / tp * pool.tokens_per_s * llm.hidden * 2
    for group in _stages(stage, tp):
        yield Flow(group, group, sent)


def _experts(pool: Running, stage: tuple[str, ...], layers: Sequence[object]) -> Iterator[Flow]:
    """Dispatch and combine: every token goes to the ranks of its experts and back."""
    shape = pool.priced.spec.parallelism
    if shape.dp == 1:
        return
    sent = 0.0
    for layer in layers:
        ffn = layer.ffn  # type: ignore[attr-defined]
        if ffn.experts:
            reached = min(ffn.visited, len(stage) - 1)
            sent += pool.tokens_per_s / shape.tp * reached * ffn.expert_hidden * (DISPATCH_WIDTH + COMBINE_WIDTH)
    if sent:
        yield Flow(stage, stage, sent)


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


def link_loads(routes: Routes, flows: Iterable[Flow]) -> dict[tuple[str, str], float]:
    """Bytes/s on every directed link that carries any."""
    loads: dict[tuple[str, str], float] = defaultdict(float)
    for flow in flows:
        for link, rate in routes.uniform_loads(flow.senders, flow.receivers, flow.bytes_per_s).items():
            loads[link] += rate
    return dict(loads)
