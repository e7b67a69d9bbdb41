"""What steps are priced to send and what links are said to carry is one formula."""

from __future__ import annotations

import numpy as np
import pytest

import topologies
from solver.cost.calibration import Calibration, packaged
from solver.cost.network.fleet import fleets
from solver.cost.pool.flows import Running, link_loads, pool_flows
from solver.cost.pool.mix import Mix
from solver.cost.pool.priced import PricedPool
from solver.cost.steps.step import fastest_exchange
from solver.cost.steps.work import COMBINE_WIDTH, DISPATCH_WIDTH
from solver.llm import LLM
from solver.replica import Parallelism, Role, Setup
from solver.workload import RequestClass

LLM_SERVED = LLM.from_config("deepseek-v3")
CLUSTER = topologies.hgx(nodes=4, device="h200")
DEVICES = tuple(d for domain in topologies.scale_up_domains(CLUSTER) for d in domain.devices)


def running(role: Role, domains: int, calibration: Calibration, draft_tokens: int = 0) -> Running:
    ranks = 8 * domains
    setup = Setup(role, "sglang", Parallelism(dp=ranks, ep=ranks), domains, draft_tokens=draft_tokens)
    mix = Mix.of([RequestClass("chat", prompt_tokens=2000, output_tokens=500, requests_per_s=1.0)])
    priced = PricedPool.of(setup, 1, LLM_SERVED, fleets(CLUSTER)[0], calibration, mix, accepted=1 + 0.8 * draft_tokens)
    return Running(priced, priced.at(2.0), (DEVICES[:ranks],))


@pytest.mark.parametrize("domains", [1, 2, 4])
@pytest.mark.parametrize("role", ["prefill", "decode", "unified"])
def test_a_token_crosses_as_often_as_it_is_priced(role: Role, domains: int) -> None:
    pool = running(role, domains, packaged("sglang", "hopper")[0])
    of, moe = pool.priced.replicas, [layer.ffn.experts > 0 for layer, _ in LLM_SERVED.layer_kinds]
    layers = dict(LLM_SERVED.layer_kinds)
    count = sum(n for layer, n in layers.items() if layer.ffn.experts)
    sent = 0.0
    for stream in pool.streams:
        priced = fastest_exchange(of.work, of.speeds, of.group, np.array([stream.tokens_per_step]))
        sent += count * float(priced.outside_bytes[0][moe][0]) * stream.tokens_per_s / stream.tokens_per_step
    loads = link_loads(topologies.Routes(CLUSTER), pool_flows(LLM_SERVED, pool))
    out = {d: sum(rate for (a, _), rate in loads.items() if a == d) for d in DEVICES[: 8 * domains]}
    crossing = sum(
        rate for (a, b), rate in loads.items() if a in out and CLUSTER.edges[a, b]["fabric"] == "scale_out"
    )
    assert crossing == pytest.approx(sent * len(out), rel=1e-6)
    assert (crossing > 0) == (domains > 1)


def test_no_token_is_sent_to_a_domain_more_often_than_it_has_experts_there() -> None:
    """Two domains: at most one copy of a token leaves, where the kernel sends once per domain; top-k x 1/2 otherwise."""
    pool = running("prefill", 2, Calibration())
    of, (stream,) = pool.priced.replicas, pool.streams
    priced = fastest_exchange(of.work, of.speeds, of.group, np.array([stream.tokens_per_step]))
    one_copy = LLM_SERVED.hidden * (DISPATCH_WIDTH + COMBINE_WIDTH) * stream.tokens_per_step
    assert float(priced.outside_bytes.max()) <= one_copy * (1 + 1e-9)


def test_drafts_are_sent_too() -> None:
    plain, drafted = (running("decode", 1, Calibration(), drafts) for drafts in (0, 2))
    assert drafted.tokens_per_s == pytest.approx(plain.tokens_per_s * 3 / 2.6)
