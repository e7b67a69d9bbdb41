"""Conservation: every request ends exactly once, no cache holds more than it can, no train more than its batch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Limits, Plan
from solver.simulate import Failure, ReplayReport, Run, replay
from solver.workload import Scenario


def scenario(disaggregate: bool, **traffic: float) -> Scenario:
    """A small dense LLM on two hosts."""
    chat = {"name": "chat", "prompt_tokens": 1500, "output_tokens": 120, "requests_per_s": 30} | traffic
    return Scenario.from_mapping(
        {
            "llm": {"config": "llama-3.1-8b"},
            "cluster": {"builder": "hgx", "nodes": 2, "device": "h100"},
            "traffic": {"classes": [chat]},
            "slo": {"ttft_p95": "1s", "tpot_p95": "20ms"},
            "options": {"disaggregate": disaggregate},
            "constraints": {"min_replicas": 2},
        },
        "test",
    )


@cache
def solved(disaggregate: bool) -> Plan:
    return solve_scenario(scenario(disaggregate), Effort(time_limit_s=20, workers=1, seed=1)).plan


@pytest.fixture(scope="module")
def plans() -> dict[bool, Plan]:
    return {apart: solved(apart) for apart in (False, True)}


def conserved(report: ReplayReport, plan: Plan) -> None:
    """What must hold of any replay."""
    assert report.arrived == report.finished + report.refused + report.under_way
    for figures, pool in zip(report.pools, plan.pools, strict=True):
        assert figures.kv_fullest <= 1 + 1e-9
        if pool.role != "prefill":
            assert all(size <= pool.limits.max_sequences for size in figures.batches)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    apart=st.booleans(),
    seed=st.integers(0, 10_000),
    rate=st.sampled_from([0.3, 1.0, 1.6]),
    failing=st.booleans(),
    recovers=st.booleans(),
    squeeze=st.sampled_from([1.0, 0.1]),
)
def test_nothing_is_lost(apart: bool, seed: int, rate: float, failing: bool, recovers: bool, squeeze: float) -> None:
    plan = squeezed(solved(apart), squeeze)
    device = plan.placement[0].device
    failures = (Failure(device, 8.0, 5.0 if recovers else None),) if failing else ()
    report = replay(plan, Run(requests=150, seed=seed, rate=rate, failures=failures))
    conserved(report, plan)
    assert report.refused == 0
    assert report.under_way == 0, "another replica of every pool is still up"


def squeezed(plan: Plan, share: float) -> Plan:
    """The plan with engines told to run fewer sequences."""

    def less(limits: Limits) -> Limits:
        return limits.model_copy(update={"max_sequences": max(int(limits.max_sequences * share), 1)})

    return plan.model_copy(
        update={"pools": tuple(pool.model_copy(update={"limits": less(pool.limits)}) for pool in plan.pools)}
    )


def test_full_caches_preempt_and_never_overflow(plans: dict[bool, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    import solver.simulate.pools as pools

    whole = pools.room_of
    monkeypatch.setattr(pools, "room_of", lambda *args: replace(whole(*args), bytes=whole(*args).needed(1620) * 3.8))
    for plan in plans.values():
        report = replay(plan, Run(requests=150, seed=3))
        conserved(report, plan)
        assert report.under_way == 0
        assert max(pool.kv_fullest for pool in report.pools) > 0.8
        assert any(pool.preempted for pool in report.pools)


def test_all_replicas_lost_is_told(plans: dict[bool, Plan]) -> None:
    report = replay(plans[True], Run(requests=200, seed=1, failures=(Failure("rack0", 6.0),)))
    conserved(report, plans[True])
    assert report.under_way > 0
    assert not report.slo_kept


def test_recovery_serves_everyone(plans: dict[bool, Plan]) -> None:
    report = replay(plans[True], Run(requests=200, seed=1, failures=(Failure("rack0", 6.0, 10.0),)))
    conserved(report, plans[True])
    assert report.requeued > 0
    assert report.under_way == 0


def test_a_request_longer_than_the_engine_accepts_is_refused(plans: dict[bool, Plan], tmp_path) -> None:  # type: ignore[no-untyped-def]
    trace = tmp_path / "trace.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,100,10\n2023-11-16 18:15:47,900000,10\n"
    )
    report = replay(plans[False], Run(trace=trace))
    assert (report.arrived, report.finished, report.refused) == (2, 1, 1)


def test_the_same_seed_gives_the_same_figures(plans: dict[bool, Plan]) -> None:
    one, same, other = (replay(plans[True], Run(requests=300, seed=seed)).to_plain() for seed in (5, 5, 6))
    assert one == same
    assert one["simulated"] != other["simulated"]
