"""Every statistic of every latency: in the order that it must have, rising with the load, and as replays find it."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from solver.check import violations
from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.pool.chunks import Chunks
from solver.cost.pool.latency import RequestLatency
from solver.cost.pool.mix import Mix
from solver.cost.pool.promise import Promise
from solver.cost.pool.prompts import Prefill
from solver.cost.pool.serving import Service
from solver.cost.pool.waiting import Wait
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.workload import SLO, RequestClass, Scenario
from solver.workload.measures import MEASURES, Measure

CHAT = {"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 10}
SCENARIO = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
    "traffic": {"classes": [CHAT]},
    "slo": {"ttft_p95": "1s", "tpot_p95": "25ms"},
    "billing": "device",
}


@cache
def plan(disaggregate: bool, **changes: object) -> Plan:
    content = SCENARIO | {"options": {"disaggregate": disaggregate}, "traffic": {"classes": [CHAT | changes]}}
    return solve_scenario(Scenario.from_mapping(content, "test"), Effort(workers=1, seed=1)).plan


@pytest.mark.parametrize("disaggregate", [False, True])
@pytest.mark.parametrize("cv", [0.0, 1.0])
def test_further_percentiles_are_larger_and_grow_with_the_load(disaggregate: bool, cv: float) -> None:
    found = plan(disaggregate, prompt_cv=cv, output_cv=cv)
    known = Evidence(found, Instance.of(found.scenario))
    for pool in found.pools:
        loads = np.linspace(0.2, 1.0, 9) * (0.9 if pool.role == "prefill" else pool.batch_per_rank)
        latency = known.priced[pool.name].at_loads(loads.tolist()).latency
        for quantity in ("ttft", "tpot", "itl", "e2e"):
            p50, p95, p99, mean = (latency(Measure(quantity, name))[:, 0] for name in ("p50", "p95", "p99", "mean"))
            assert (p50 <= p95).all()
            assert (p95 <= p99).all()
            assert (mean <= p99).all()
            for values in (p50, p95, p99, mean):
                assert (np.diff(values) >= -1e-3 * values[1:]).all()


def test_statistics_are_those_of_replays() -> None:
    found = plan(False)
    seen = replay(found, Run(requests=8000, seed=3)).overall
    # How far each may be off: means and medians, and tails, whose longest gaps have several prompts in them or not.
    for measure in MEASURES:
        if measure.quantity != "itl" or not measure.tail:
            assert found.prediction.figure(measure) == pytest.approx(seen.figure(measure), rel=0.1 if measure.tail else 0.04)


def test_end_to_end_percentiles_count_long_answers() -> None:
    found = plan(False, output_cv=0.8)
    seen = replay(found, Run(requests=8000, seed=3)).overall
    for statistic, low, high in (("p50", 0.95, 1.05), ("mean", 0.95, 1.05), ("p95", 1.0, 1.35), ("p99", 1.0, 1.35)):
        measure = Measure("e2e", statistic)
        assert low <= found.prediction.figure(measure) / seen.figure(measure) <= high


def test_the_mean_wait_is_the_mean_of_its_quantiles() -> None:
    one = np.ones(1)
    wait = Wait(0.6 * one, 2.0 * one, 0.8 * one, 0.5 * one, 0.3 * one)
    shares = (np.arange(4000) + 0.5) / 4000
    assert wait.mean[0] == pytest.approx(np.mean([wait.quantile(share)[0] for share in shares]), rel=5e-3)
    assert wait.mean[0] == pytest.approx(0.6 * 2.0 * math.gamma(1 + 1 / 0.8) + 0.4 * 0.5 * 0.15, rel=1e-3)


def test_the_longest_gaps_have_a_long_prompt_in_them_or_several() -> None:
    seconds = np.array([[[0.01, 0.02, 0.10]]])
    prefill = Prefill(seconds, seconds, np.ones((1, 1, 3)), np.array([[0.5, 0.45, 0.05]]))
    chunks = Chunks(prefill, prefill, np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1)))
    one, most = np.ones(1), np.full(1, 8.0)
    alone = [float(chunks.longest(rare * one, 1.0 * one, most)[0]) for rare in (0.9, 0.3, 0.02)]
    # The usual one takes 0.019 s.
    assert alone == pytest.approx([0.019, 0.02, 0.10])
    assert float(chunks.longest(0.02 * one, 2.0 * one, most)[0]) == pytest.approx(0.019 + 5 * 0.019)


@pytest.mark.parametrize("quantity", ["ttft", "tpot"])
def test_a_stricter_statistic_of_the_same_limit_is_never_cheaper(quantity: str) -> None:
    limit = {"ttft": 0.15, "tpot": 0.012}[quantity]
    served = []
    for statistic in ("p50", "mean", "p95", "p99"):
        content = SCENARIO | {"slo": {f"{quantity}_{statistic}": limit}, "objective": "throughput"}
        found = solve_scenario(Scenario.from_mapping(content, "test"), Effort(workers=1, seed=1)).plan
        assert found.prediction.classes["chat"].figure(Measure(quantity, statistic)) <= limit * (1 + 1e-6)  # type: ignore[arg-type]
        assert not violations(found)
        served.append(found.objective.usd_per_million_output_tokens)
    assert served == sorted(served)
    assert served[-1] > served[0] * 1.02


def test_what_was_promised_nothing_may_take_for_ever() -> None:
    """One class waits without end and has no promise, the other keeps its own: nothing is overshot."""
    mix = Mix.of([RequestClass(name, prompt_tokens=100, output_tokens=10, requests_per_s=1) for name in ("free", "kept")])
    first = np.array([[math.inf, 1.0]])
    latency = RequestLatency(lambda _: first, lambda _: first, lambda _: first, lambda _: np.ones(2))
    one = np.ones(1)
    service = Service(one, one, one, one, one, latency)
    promise = Promise.of([SLO(), SLO(ttft_p95_s=2.0)])
    assert service.excess(promise, mix).tolist() == [-0.5]
    assert service.excess(Promise.of([SLO(ttft_p95_s=2.0), SLO()]), mix).tolist() == [math.inf]
