"""Mooncake's traces through a cache with the plan's ages: hits and occupancy are what the plan says."""

from __future__ import annotations

from pathlib import Path

import pytest
from block_cache import replay

from solver.llm import LLM
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import KVTier, Plan
from solver.traces.embedding import with_classes
from solver.workload import Scenario

LLM_NAME = "llama-3.1-70b-fp8"
#: Hit rates agree to this many points; occupancy of a tier to this share. In the synthetic trace blocks of a few sessions
#: become those of many; the plan counts their first copies as waiting until they are dropped.
POINTS, CONVERSATION, SYNTHETIC = 0.03, 0.1, 0.25


def planned(trace: Path) -> Plan:
    content = {
        "llm": {"config": LLM_NAME},
        "cluster": {"builder": "hgx", "nodes": 4, "device": "h100"},
        "traffic": {"trace": str(trace), "format": "mooncake", "classes": 1},
        "slo": {"ttft_p95": "30s", "tpot_p95": "100ms"},
        "options": {"disaggregate": False, "kv_ages_s": [60, 600, 1800]},
        "billing": "device",
        "constraints": {"forbid": ["pp"], "max_tp": 4},
        "prices": {"dram_usd_per_GB_hour": 0.0005, "flash_usd_per_GB_hour": 0.00004},
    }
    scenario = Scenario.from_mapping(with_classes(content, Path(".")), "mooncake")
    return solve_scenario(scenario, Effort(time_limit_s=20, seed=1)).plan


def used(tier: KVTier) -> dict[str, float]:
    """Ages of the tiers that are used, nearest first."""
    return {name: end for name, end in tier.until_s.items() if tier.bytes.get(name)}


@pytest.mark.parametrize(("name", "occupancy"), [("conversation", CONVERSATION), ("synthetic", SYNTHETIC)])
def test_a_cache_with_the_plans_ages(shared_data: Path, name: str, occupancy: float) -> None:
    trace = shared_data / "traces" / f"mooncake_{name}_trace.jsonl"
    plan = planned(trace)
    (tier,) = plan.kv_tiers
    (request_class,) = plan.scenario.traffic.classes
    assert tier.hit_rate > 0.2
    found = replay(trace, used(tier), output_kept=tier.write_back or plan.pool(tier.pool).role == "unified")
    tokens = float(request_class.prompt_tokens)
    assert request_class.reused_tokens.shared / tokens == pytest.approx(found.shared / found.prompt, abs=POINTS)
    llm = LLM.from_config(LLM_NAME)
    for where in used(tier):
        share = tier.hit_rate_by_tier.get(where, 0.0) * tier.found_tokens / tokens
        assert share == pytest.approx(found.found[where] / found.prompt, abs=POINTS), where
        waiting = tier.bytes[where] / llm.kv_bytes_per_token
        assert waiting == pytest.approx(found.waiting[where], rel=occupancy), where
