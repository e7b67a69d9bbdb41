"""The joint decision beside what operators set by hand: nothing kept, HBM alone, HBM and DRAM, five minutes for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small import scenario, varied

import topologies
from solver.check import violations
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.kv_tiers import Keeping
from solver.optimize.layout.market import market, offer
from solver.optimize.layout.search import Layout, best_layout
from solver.optimize.solve import solve_scenario
from solver.workload import Scenario

#: The multiple that is served is counted in steps of a ceiling, of this size at most in these scenarios.
STEP = 3e-3
EFFORT = Effort(time_limit_s=20, seed=1)


def in_hbm(way: Keeping) -> bool:
    return way.hbm_s == way.drop_s


def without_flash(way: Keeping) -> bool:
    return all(any(not split.bytes.get("flash") for split in each) for each in way.splits)


HABITS: dict[str, Callable[[Keeping], bool]] = {
    "nothing kept": lambda way: False,
    "HBM": in_hbm,
    "HBM and DRAM": without_flash,
    "five minutes": lambda way: set(way.drop_s) == {300.0},
}


@pytest.mark.parametrize("seed", range(20))
def test_never_worse_than_a_habit(seed: int) -> None:
    instance = Instance.of(varied(seed))
    whole = market(instance)
    offered = offer(instance, "vllm", whole).columns
    best = best_layout(whole, offered, EFFORT)
    throughput = whole.objective == "throughput"
    for name, allowed in HABITS.items():
        some = [c for c in offered if c.keeping is None or allowed(whole.keepings[c.keeping])]
        habit = best_layout(whole, some, EFFORT)
        if not isinstance(habit, Layout):
            continue
        assert isinstance(best, Layout), name
        ours, theirs = (1 / best.value, 1 / habit.value) if throughput else (best.value, habit.value)
        assert ours <= theirs * (1 + (STEP if throughput else 1e-6)), name
        if throughput:
            assert best.bound >= habit.value * (1 - 1e-6)
        else:
            assert best.bound <= habit.value * (1 + 1e-6)


def test_tiers_pay_for_themselves() -> None:
    """Most of every prompt is found again: the plan with tiers is cheaper per token, and both plans pass the witness."""
    outcome = solve_scenario(scenario(options={"kv_ages_s": [60.0, 300.0]}), EFFORT)
    tiered = outcome.plan
    bare = solve_scenario(scenario(options={"kv_tiers": []}), EFFORT).plan
    assert bare.kv_tiers == ()
    (tier,) = tiered.kv_tiers
    assert tier.hit_rate > 0.3
    assert tier.spared_prefill_devices > 0.5
    ours, theirs = (p.objective.usd_per_million_output_tokens for p in (tiered, bare))
    assert ours < 0.9 * theirs
    assert "idle KV of 'chat'" in str(outcome)


def test_idle_kv_takes_room_in_hbm_not_of_what_may_run() -> None:
    """More histories wait in HBM than sequences may run at once."""
    content = {
        "llm": {"config": "llama-3.1-8b", "weights": "fp8", "kv_cache": "fp8"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
        "traffic": {
            "classes": [
                {
                    "name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4,
                    "reused_tokens": {"shared": 100, "private": 200}, "return_fraction": 0.5,
                    "idle_s": {"median": 60, "p90": 600},
                }
            ]
        },
        "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
        "options": {"kv_tiers": ["hbm", "dram"], "kv_ages_s": [60], "disaggregate": False},
        "constraints": {"pools": [{"role": "unified", "parallelism": {"tp": 2}, "replicas": 1}]},
        "prices": {"h100": 2.0, "dram_usd_per_GB_hour": 0.01},
        "billing": "device",
    }  # fmt: skip
    plan = solve_scenario(Scenario.from_mapping(content, "test"), EFFORT).plan
    (pool,), (tier,) = plan.pools, plan.kv_tiers
    assert tier.bytes["hbm"] > 0
    assert pool.limits.max_sequences > pool.batch_per_rank
    assert not violations(plan)


def test_without_reuse_nothing_changes() -> None:
    plain = scenario(chat={"reused_tokens": {"shared": 0, "private": 0}, "return_fraction": 0.0})
    instance = Instance.of(plain)
    whole = market(instance)
    assert whole.keepings == ()
    assert {column.keeping for column in offer(instance, "vllm", whole).columns} == {None}
    plan, off = (
        solve_scenario(s, EFFORT).plan
        for s in (plain, plain.model_copy(update={"options": plain.options.model_copy(update={"kv_tiers": ()})}))
    )
    assert plan.kv_tiers == ()
    assert plan.pools == off.pools
    assert plan.objective == off.objective


def test_random_routing_finds_one_history_in_n() -> None:
    few = {"kv_ages_s": [60.0]}
    sticky, random = (solve_scenario(scenario(routing=r, options=few), EFFORT).plan for r in ("sticky", "random"))
    for tier in random.kv_tiers:
        pool = random.pool(tier.pool)
        assert not tier.hit_rate or tier.caches >= pool.replicas * pool.parallelism.dp
    assert random.objective.usd_per_hour >= sticky.objective.usd_per_hour * (1 - 1e-9)


def test_a_pooled_store_finds_every_history() -> None:
    """Whichever replica asks: random routing costs hits in a rank's own memory, not in a store on the fabric."""
    cluster = topologies.hgx(nodes=1, device="h100")
    switch = next(v for v, data in cluster.nodes(data=True) if data["kind"] == "switch" and "nvswitch" not in v)
    cluster.add_node("store", kind="storage", rack="rack0", capacity_bytes=5e13)
    cluster.add_edge(switch, "store", fabric="storage", bandwidth_bytes_per_s=1e11, latency_s=1e-5)
    fields = {"cluster": {"graph": topologies.to_plain(cluster)}, "routing": "random"}
    prices = {"dram_usd_per_GB_hour": 0.005, "remote_usd_per_GB_hour": 0.00002}
    plan = solve_scenario(scenario(20.0, prices=prices, options={"kv_ages_s": [300.0]}, **fields), EFFORT).plan
    (tier,) = plan.kv_tiers
    assert tier.bytes["remote"] > 0
    assert tier.hit_rate > 0.5
    assert tier.usd_per_hour["remote"] == pytest.approx(tier.bytes["remote"] / 1e9 * 0.00002)
    assert violations(plan) == []


def test_full_memory_is_named_with_its_worth() -> None:
    small = {"builder": "hgx", "nodes": 1, "device": "h100", "dram_bytes_per_host": 1.5e11}
    found = scenario(20.0, chat={"idle_s": {"median": 5, "p90": 40}}, cluster=small, billing="host", objective="throughput",
                     options={"kv_tiers": ["hbm", "dram"], "kv_ages_s": [5, 15, 60]})  # fmt: skip
    plan = solve_scenario(found, EFFORT).plan
    (told,) = (b for b in plan.binding if b.rule == "dram_room")
    assert "DRAM is full" in told.because
    assert "one more TB would serve" in told.because
