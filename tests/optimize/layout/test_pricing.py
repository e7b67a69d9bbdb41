"""Bands that are left unpriced could not have been in a better layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from solver.cost.instance import Instance
from solver.cost.pool.operating_point import WIDTH
from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout import pricing
from solver.optimize.layout.market import market, offer
from solver.optimize.layout.search import Layout, best_layout
from solver.workload import Scenario

EFFORT = Effort(time_limit_s=20, seed=1)
CASES: dict[str, dict[str, Any]] = {
    "disaggregated": {
        "llm": {"config": "llama-3.1-70b"},
        "cluster": {"builder": "hgx", "nodes": 3, "device": "h100"},
        "slo": {"ttft_p95": "1s", "tpot_p95": "30ms"},
    },
    "experts": {
        "llm": {"config": "qwen3-30b-a3b"},
        "cluster": {"builder": "hgx", "nodes": 2, "device": "h100"},
        "slo": {"ttft_p95": "1s", "tpot_p95": "20ms"},
        "objective": "throughput",
    },
    "failures": {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 3, "device": "h100"},
        "slo": {"ttft_p95": "1s", "tpot_p95": "30ms"},
        "options": {"survive_domain_failures": 1},
        "billing": "device",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_best_layout_and_its_bound_are_those_of_all_bands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = {"name": "chat", "prompt_tokens": 3000, "output_tokens": 300, "requests_per_s": 8.0}
    scenario = Scenario.from_mapping(CASES[name] | {"traffic": {"classes": [chat]}}, name)
    instance = Instance.of(scenario, Path("."))
    whole = market(instance)

    def solved(few: int, first: int) -> tuple[Layout, int]:
        monkeypatch.setattr(pricing, "FEW_BANDS", few)
        monkeypatch.setattr(pricing, "FIRST_CELLS", first)
        offered = offer(instance, "vllm", whole, effort=EFFORT)
        found = best_layout(offered.within(whole), offered.columns, EFFORT)
        assert isinstance(found, Layout)
        return found, len(offered.columns)

    every, many = solved(10**9, 1)
    some, fewer = solved(0, 4)
    assert fewer < many
    # Equal to the width between which the load of a column is found.
    assert some.value == pytest.approx(every.value, rel=2 * WIDTH)
    assert some.bound == pytest.approx(every.bound, rel=1e-3)
