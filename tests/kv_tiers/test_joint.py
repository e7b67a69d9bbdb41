"""The joint decision beside what operators set by hand: nothing kept, HBM alone, HBM and DRAM, five minutes for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small import scenario, varied

from solver.cost.instance import Instance
from solver.optimize.kv_tiers import Keeping
from solver.optimize.layout import Layout, best_layout
from solver.optimize.market import market, offer
from solver.optimize.run import Effort
from solver.optimize.solve import solve_scenario

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
    tiered = solve_scenario(scenario(), EFFORT).plan
    bare = solve_scenario(scenario(options={"kv_tiers": []}), EFFORT).plan
    assert bare.kv_tiers == ()
    (tier,) = tiered.kv_tiers
    assert tier.hit_rate > 0.3
    assert tier.spared_prefill_devices > 0.5
    ours, theirs = (p.objective.usd_per_million_output_tokens for p in (tiered, bare))
    assert ours < 0.9 * theirs
    assert "idle KV of 'chat'" in str(solve_scenario(scenario(), EFFORT))


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
    sticky, random = (solve_scenario(scenario(routing=r), EFFORT).plan for r in ("sticky", "random"))
    for tier in random.kv_tiers:
        pool = random.pool(tier.pool)
        assert not tier.hit_rate or tier.caches >= pool.replicas * pool.parallelism.dp
    assert random.objective.usd_per_hour >= sticky.objective.usd_per_hour * (1 - 1e-9)
