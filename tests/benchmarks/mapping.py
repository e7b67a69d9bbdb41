"""Mapping of whole clusters: seconds and memory to name 1,024 and 10,008 devices, load the links and check the plan.

``pytest tests/benchmarks/mapping.py -m benchmark -s -n 0``
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

GIB = 1024**3

_CHILD = """
import json, resource, sys, time
from solver.check import violations
from solver.cost.instance import Instance
from solver.optimize.assembly.assemble import assemble, busiest_link
from solver.optimize.layout.search import Chosen, Layout
from solver.optimize.layout.mapping import placements
from solver.optimize.layout.market import market, offer
from solver.optimize.arithmetic.run import Effort
from solver.workload import Scenario
from topologies import Routes

given = json.loads(sys.argv[1])
request = {"name": "chat", "prompt_tokens": 4000, "output_tokens": 1000, "requests_per_s": 1}
scenario = Scenario.from_mapping({
    "llm": {"config": "deepseek-v3", "kv_cache": "fp8"}, "cluster": given["cluster"], "engine": "sglang",
    "price_basis": "reserved-3y",
    "objective": "throughput", "traffic": {"classes": [request]}, "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
}, "benchmark")
instance = Instance.of(scenario)
whole = market(instance)
offered = offer(instance, "sglang", whole)
pools = []
for role, size, fragments, replicas in given["pools"]:
    able = [c for c in offered.columns if (c.role, c.footprint.size, c.footprint.domains) == (role, size, fragments)
            and c.rate > 0 and c.low <= replicas <= c.high]
    pools.append(Chosen(max(able, key=lambda c: c.rate), replicas, {0: replicas * fragments}))
layout = Layout(tuple(pools), (True,), 1.0, 1.0, True, {})
laps, start = {}, time.perf_counter()

def lap(name):
    global start
    laps[name] = time.perf_counter() - start
    start = time.perf_counter()

routes = Routes(instance.cluster)
found = placements(layout, whole.supplies, Effort(time_limit_s=30))
lap("placements")
best = min(found, key=lambda mapping: busiest_link(instance, offered, routes, layout, mapping))
lap("links")
plan = assemble(instance, offered, routes, layout, best, 1)
lap("plan")
broken = violations(plan, instance)
lap("check")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
told = {"devices": len(plan.placement), "links": len(plan.links), "broken": broken, "peak_bytes": peak, "laps": laps}
print(json.dumps(told))
"""


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("devices", "most_s", "cluster", "pools"),
    [
        (
            1024,
            10.0,
            {"builder": "hgx", "nodes": 128, "device": "h200"},
            [("prefill", 8, 1, 50), ("decode", 8, 8, 8), ("decode", 8, 7, 2)],
        ),
        (
            10_008,
            60.0,
            {"builder": "nvl72", "racks": 139, "device": "gb200"},
            [("prefill", 6, 1, 556), ("decode", 16, 1, 417)],
        ),
    ],
)
def test_every_device_of_a_cluster_is_mapped(devices, most_s, cluster, pools):
    given = json.dumps({"cluster": cluster, "pools": pools})
    ran = subprocess.run([sys.executable, "-c", _CHILD, given], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    laps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in told["laps"].items())
    print(f"\n{devices:,} devices, {told['links']:,} loaded links: {laps}; peak {told['peak_bytes'] / GIB:.2f} GiB")
    assert told["devices"] == devices
    assert told["broken"] == []
    assert sum(told["laps"].values()) <= most_s
    assert told["peak_bytes"] <= 4 * GIB
