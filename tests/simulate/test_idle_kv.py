"""Replays find idle KV where the plan keeps it, in every tier, and load it as fast as the plan counts on."""

from __future__ import annotations

import networkx as nx
import pytest
from small import scenario

import topologies
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import KVTier, Plan
from solver.simulate import Run, replay
from solver.simulate.requests import Arrival
from solver.simulate.sessions import IdleSessions
from solver.workload.kv_tiers import REMOTE, TIERS


def with_shared_store() -> nx.Graph[str]:
    """One host whose leaves also lead to a store of 100 TB."""
    graph = topologies.hgx(nodes=1, device="h100")
    graph.add_node("store", kind="storage", capacity_bytes=100e12, rack="")
    for leaf in [v for v, data in graph.nodes(data=True) if data["kind"] == "switch"]:
        graph.add_edge("store", leaf, fabric="scale_out", bandwidth_bytes_per_s=50e9, latency_s=5e-6)
    return topologies.validate(graph)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A plan whose idle KV waits in a store on the switches: routing is random, so only there all ranks find it."""
    wanted = scenario(
        20.0,
        cluster={"graph": topologies.to_plain(with_shared_store())},
        options={"kv_ages_s": [300.0]},
        prices={"dram_usd_per_GB_hour": 0.005, "remote_usd_per_GB_hour": 2e-5},
        routing="random",
    )
    return solve_scenario(wanted, Effort(seed=0)).plan


def test_a_pooled_store_is_found_in_replay(plan: Plan) -> None:
    (record,) = plan.kv_tiers
    assert record.hit_rate_by_tier.keys() == {REMOTE.name}
    report = replay(plan, Run(requests=8000, seed=4))
    found = report.tiers[REMOTE.name] / sum(report.tiers.values())
    assert found == pytest.approx(record.hit_rate, abs=0.02)
    assert report.overall.ttft_p95_s == pytest.approx(plan.prediction.ttft_p95_s, rel=0.2)


@pytest.mark.parametrize("caches", [1, 4])
def test_every_tier_is_found_at_its_ages(plan: Plan, caches: int) -> None:
    ages = {tier.until_field: 100.0 * (number + 1) for number, tier in enumerate(TIERS)}
    record = plan.kv_tiers[0]
    kept = KVTier(**(record.model_dump(by_alias=True) | ages | {"caches": caches}))
    sessions = IdleSessions(plan.model_copy(update={"kv_tiers": (kept,)}), seed=1)
    for number, tier in enumerate(TIERS):
        histories = [
            sessions.find(Arrival(0.0, "chat", 6000, 200, None, 400, 5000, 100.0 * number + 50), 0.0) for _ in range(400)
        ]
        here = [history for history in histories if history.tier is not None]
        assert {history.tier for history in here} == {tier}
        assert {(h.private, h.cached) for h in here} == {(record.found_tokens, 400 + record.found_tokens)}
        everywhere = tier.lies == "shared storage" or caches == 1
        assert len(here) / 400 == pytest.approx(1.0 if everywhere else 1 / caches, abs=0.0 if everywhere else 0.08)
    late = sessions.find(Arrival(0.0, "chat", 6000, 200, None, 400, 5000, 401.0), 0.0)
    assert (late.tier, late.cached) == (None, 400)
    assert late.private == 0
