"""``rackplan frontier``: every point a plan of its own, cost never falls with speed, the rooflines lie beneath."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import rackplan

from solver.check import violations
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.study.frontier import Frontier, frontier
from solver.workload import Scenario

SMALL = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 5}]},
    "slo": {"ttft_p95": "2s"},
    "constraints": {"roles": ["prefill", "decode"], "max_tp": 4},
}


@pytest.fixture(scope="module")
def curve() -> Frontier:
    return frontier(Scenario.from_mapping(SMALL, "small"), points=4, effort=Effort(workers=1), speed_ratio=2.0)


def test_cost_rises_with_speed_and_bounds_hold(curve: Frontier) -> None:
    served = [point for point in curve.points if point.plan is not None]
    assert len(served) >= 3
    for slow, fast in pairwise(served):
        assert slow.usd <= fast.usd
    for point in served:
        assert point.bound <= point.usd * (1 + 1e-9)
        assert 0 <= point.gap <= 0.05
        assert point.roofline is not None
        assert point.roofline < point.usd


def test_every_plan_is_accepted_and_keeps_its_speed(curve: Frontier) -> None:
    for point in curve.points:
        if point.plan is not None:
            assert violations(point.plan, Instance.of(point.plan.scenario)) == []
            assert point.plan.prediction.tpot_p95_s <= 1 / point.tokens_per_s * (1 + 1e-6)


def test_layouts_are_optimised_anew(curve: Frontier) -> None:
    """One layout's curve would keep its parallelism; a frontier does not."""
    shapes = {tuple(str(p.parallelism.shape()) for p in c.plan.pools) for c in curve.points if c.plan is not None}
    assert len(shapes) > 1


def test_price_of_speed(curve: Frontier) -> None:
    answer = curve.answer
    assert answer is not None
    assert answer.speed_ratio == pytest.approx(2.0)
    if answer.price_ratio is not None:
        assert answer.price_ratio >= 1
    assert curve.fastest_within(1e9) == max(
        (p for p in curve.points if p.plan is not None), key=lambda p: p.tokens_per_s
    )


def test_command_prints_and_draws(tmp_path: Path) -> None:
    scenario, chart = tmp_path / "small.yaml", tmp_path / "chart.svg"
    scenario.write_text(json.dumps(SMALL))
    ran = rackplan("frontier", scenario, "--points", 2, "--workers", 1, "-o", chart, "--json")
    assert ran.status == 0, ran.error
    found = json.loads(ran.out)
    assert len(found["points"]) == 2
    assert found["points"][0]["gap"] is not None
    assert "pure rooflines" in chart.read_text()


def test_bad_input_is_one_line() -> None:
    ran = rackplan("frontier", "deepseek-v3-2xnvll72")
    assert (ran.status, ran.error.count("\n")) == (2, 1)
    ran = rackplan("frontier", "deepseek-v3-2xnvl72", "--speed-ratio", 0.5)
    assert (ran.status, ran.error.count("\n")) == (2, 1)
    assert "must exceed 1" in ran.error
