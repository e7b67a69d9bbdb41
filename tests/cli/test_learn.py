"""``rackplan learn`` reads what ``measure`` asked for, says what changed, and ``solve`` plans with it."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import rackplan

SCENARIO = """
llm: {config: llama-3.1-8b}
cluster: {builder: hgx, nodes: 1, device: h100}
traffic: {classes: [{name: chat, prompt_tokens: 1000, output_tokens: 200, requests_per_s: 60}]}
slo: {ttft_p95: 2s, tpot_p95: 30ms}
billing: device
options: {disaggregate: false}
constraints: {max_tp: 2}
"""


def test_measure_learn_plan_again(tmp_path: Path) -> None:
    scenario, plan, bench, ours = (tmp_path / name for name in ("mine.yaml", "plan.json", "bench", "ours.json"))
    scenario.write_text(SCENARIO)
    assert rackplan("solve", scenario, "--no-confirm", "--seed", 1, "-o", plan).status == 0
    assert rackplan("measure", plan, "-o", bench).status == 0
    (asked,) = bench.glob("1-*/expected.json")
    expected = json.loads(asked.read_text())
    result = {
        "completed": expected["requests"],
        "max_concurrency": expected["concurrency"],
        "median_tpot_ms": 1.3 * expected["expected"]["tpot_ms"]["value"],
        "median_ttft_ms": expected["expected"]["ttft_p50_ms"]["value"],
        "output_throughput": expected["expected"]["output_tokens_per_s"]["value"] / 1.3,
    }
    (asked.parent / "vllm.json").write_text(json.dumps(result))
    learned = rackplan("learn", bench, "-o", ours, "--plan", plan)
    assert learned.status == 0, learned.error
    assert "1 runs of your own" in learned.out
    assert "the decision " in learned.out
    again = rackplan("solve", scenario, "--calibration", ours, "--no-confirm", "--seed", 1, "--json")
    before, after = json.loads(plan.read_text()), json.loads(again.out)
    pools = [each["pools"][0] for each in (before, after)]
    served = [pool["capacity_requests_per_s_per_replica"] / pool["parallelism"]["tp"] for pool in pools]
    assert served[1] < 0.97 * served[0], "a device serves less"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert rackplan("learn", empty, "-o", ours).status == 2, "a folder without results"
