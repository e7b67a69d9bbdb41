"""Whole solves of large clusters: CPU seconds, memory and gap by devices, for racks and for hosts.

``pytest tests/benchmarks/size.py -m benchmark -s -n 0``
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_CHILD = """
import json, resource, sys, time
from solver.check import violations
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.workload import Scenario

given = json.loads(sys.argv[1])
request = {"name": "chat", "prompt_tokens": 4000, "output_tokens": 1000, "requests_per_s": given["requests_per_s"]}
scenario = Scenario.from_mapping({
    "llm": {"config": "deepseek-v3", "kv_cache": "fp8"}, "cluster": given["cluster"], "engine": "sglang",
    "traffic": {"classes": [request]}, "slo": {"ttft_p95": "2s", "tpot_p95": "30ms"},
}, "benchmark")
outcome = solve_scenario(scenario, Effort(time_limit_s=600.0))
spent = time.process_time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
plan = outcome.found
print(json.dumps({
    "cpu_s": spent, "peak_mib": peak / 2**20, "gap": plan and plan.objective.gap,
    "used": plan and plan.devices, "broken": plan and violations(plan, Instance.of(scenario)), "reason": outcome.reason,
}))
"""


@pytest.mark.benchmark
@pytest.mark.parametrize("builder", ["nvl72", "hgx"])
@pytest.mark.parametrize("devices", [1_008, 10_008, 30_024, 100_080])
def test_a_large_cluster_is_solved(devices: int, builder: str) -> None:
    racks = {"builder": "nvl72", "racks": devices // 72}
    cluster = racks if builder == "nvl72" else {"builder": "hgx", "nodes": devices // 8, "device": "h200"}
    given = json.dumps({"cluster": cluster, "requests_per_s": devices * 0.3 if builder == "nvl72" else devices * 0.1})
    ran = subprocess.run([sys.executable, "-c", _CHILD, given], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    print(f"\n{devices:,} devices ({builder}): {told}")
    assert told["broken"] == [], told["reason"]
    assert told["peak_mib"] <= 4096
