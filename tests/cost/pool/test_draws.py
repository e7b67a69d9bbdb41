"""A plan under draws: what one table of loads says is what pricing every draw by itself would say."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import process_time

import numpy as np
import pytest

from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.pool.draws import DrawnGroup, DrawnPool, worlds
from solver.cost.pool.serving import Service, Stretch
from solver.cost.surprises import DRAWS
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan, Pool
from solver.workload import Scenario
from solver.workload.measures import MEASURES, TPOT_P95, TTFT_P95

SCENARIO = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 2, "device": "h100"},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 40}]},
    "slo": {"ttft_p95": "1s", "tpot_p95": "25ms"},
    "billing": "device",
}


@functools.cache
def evidence(disaggregate: bool) -> Evidence:
    scenario = Scenario.from_mapping(SCENARIO | {"options": {"disaggregate": disaggregate}}, "test")
    plan = solve_scenario(scenario, Effort(workers=1, seed=1)).plan
    return Evidence(plan, Instance.of(plan.scenario))


def drawn(known: Evidence, surprises: Callable[[str], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> list[DrawnGroup]:
    (group,) = known.instance.groups

    def of(pool: Pool) -> DrawnPool:
        return DrawnPool(
            pool.role,
            known.share(pool),
            known.priced[pool.name],
            pool.limits.max_sequences,
            pool.requests_per_s_per_replica,
            surprises(pool.role),
            _same,
        )

    return [DrawnGroup(group.classes, group.slos, [40.0], [of(pool) for pool in known.plan.pools])]


def _same(service: Service) -> Service:
    return service


@pytest.mark.parametrize("disaggregate", [True, False])
def test_without_surprises_every_world_is_the_prediction(disaggregate: bool) -> None:
    known = evidence(disaggregate)
    found = worlds(drawn(known, lambda _: np.zeros((2, DRAWS))))
    for measure in MEASURES:
        # Gaps have a chunk in them, or not: between two loads there is nothing in between.
        if measure.quantity != "itl":
            assert found.classes["chat"][measure] == pytest.approx(known.plan.prediction.figure(measure), rel=5e-3)


def test_a_slower_pool_is_where_it_would_have_been_at_a_higher_rate() -> None:
    known, longer = evidence(False), np.linspace(-0.4, 0.1, DRAWS)
    (pool,) = known.plan.pools
    found = worlds(drawn(known, lambda _: np.stack([longer, np.full(DRAWS, 0.2)]))).classes["chat"]
    for draw in (0, 100, 180):
        factor = float(np.exp(longer[draw]))
        exact = known.priced[pool.name].at(pool.requests_per_s_per_replica * factor)
        exact = exact.stretched(Stretch(np.array([factor]), np.exp([0.2])))
        assert found[TPOT_P95][draw] == pytest.approx(exact.latency(TPOT_P95)[0, 0], rel=2e-3)
        assert found[TTFT_P95][draw] == pytest.approx(exact.latency(TTFT_P95)[0, 0], rel=5e-3)
        # Little's law: what is in flight is what arrives times how long it stays.
        assert exact.requests_per_s[0] == pytest.approx(pool.requests_per_s_per_replica, rel=1e-6)


def test_promises_hold_together_less_often_than_each() -> None:
    rng = np.random.default_rng(5)
    normal = {role: 0.15 * rng.standard_normal((2, DRAWS)) - 0.1 for role in ("prefill", "decode")}
    none = np.zeros((2, DRAWS)) - 0.1
    known = evidence(True)
    both, one, other = (
        worlds(drawn(known, lambda role, only=only: normal[role] if role in only else none))
        for only in (("prefill", "decode"), ("prefill",), ("decode",))
    )
    assert np.array_equal(both.kept, one.kept & other.kept)
    assert both.confidence < min(one.confidence, other.confidence)


def test_what_is_served_within_the_promises_falls_where_they_break() -> None:
    longer = np.where(np.arange(DRAWS) % 2, 0.3, -0.2)
    found = worlds(drawn(evidence(False), lambda _: np.stack([longer, np.zeros(DRAWS)])))
    assert found.confidence == 0.5
    assert np.array_equal(found.served == 1.0, found.kept)
    low, high = found.cost_80(1.0)
    assert low == 1.0 < high
    assert found.interval_80("requests_per_s", 40.0) == pytest.approx((40 / high, 40.0))


def test_a_plan_is_priced_under_all_draws_at_once() -> None:
    known = evidence(True)
    known.instance.surprises("h100", [known.plan.pools[0].setup()])  # what is known of all plans is looked up once
    assert known.services
    start = process_time()
    assert known.worlds.overall is not None
    assert process_time() - start < 1.5, "0.1 to 0.2 s on a quiet machine"


def test_plans_say_what_the_draws_say() -> None:
    plan: Plan = evidence(True).plan
    found = evidence(True).worlds
    assert plan.prediction.confidence == found.confidence
    assert plan.objective.interval_80 == pytest.approx(found.cost_80(plan.objective.usd_per_million_output_tokens))


def test_a_pool_that_hardly_works_is_drawn_where_it_is() -> None:
    """Far below the lightest of the usual loads, where a heavier one would be slower."""
    known = evidence(False)
    (group,), (pool,) = known.instance.groups, known.plan.pools
    rate = pool.capacity_requests_per_s_per_replica / 1000
    idle = DrawnPool(pool.role, 1.0, known.priced[pool.name], pool.limits.max_sequences, rate, np.zeros((2, DRAWS)), _same)
    found = worlds([DrawnGroup(group.classes, group.slos, [rate], [idle])]).classes["chat"]
    exact = known.priced[pool.name].at(rate)
    assert found[TPOT_P95][0] == pytest.approx(exact.latency(TPOT_P95)[0, 0], rel=5e-3)
    assert found[TTFT_P95][0] == pytest.approx(exact.latency(TTFT_P95)[0, 0], rel=2e-2)
