"""Unified pools near saturation: what the formulas predict, what ``simulate`` replays, and what vLLM's own scheduler does.

``pytest tests/benchmarks/saturation.py -m benchmark -s -n 0``

vLLM is asked where RACKPLAN_ENGINES names what ``tests/engines/setup`` made. A load is the share of the time that the
pool is busy; figures are means over seeds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_scheduler import by_vllm, neutral

from solver.errors import RackplanError
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.workload import Scenario

pytestmark = pytest.mark.benchmark

FIGURES = ("ttft_p50_s", "ttft_p95_s", "tpot_p50_s", "tpot_p95_s")
#: A test of a load and chunk takes so many requests for each of so many seeds; RACKPLAN_SEEDS asks for fewer.
REQUESTS, SEEDS = 10_000, int(os.environ.get("RACKPLAN_SEEDS", "5"))


def planned(rate: float, chunk: int) -> Plan:
    """Llama-3.1-8B on one H100 at a rate."""
    one = {"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": rate}
    pin = {"role": "unified", "parallelism": {"tp": 1, "pp": 1}, "chunk_tokens": chunk, "replicas": 1}
    content: dict[str, Any] = {
        "calibration": neutral(),
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {"classes": [one | {"prompt_cv": 1.0, "output_cv": 0.6}]},
        "slo": {"ttft_p95": "60s", "tpot_p95": "1s"},
        "engine": "vllm",
        "constraints": {"pools": [pin], "roles": ["unified"], "other_pools": False},
    }
    return solve_scenario(Scenario.from_mapping(content, "saturation"), Effort(time_limit_s=120, gap=0.05)).plan


def at_load(load: float, chunk: int) -> Plan:
    """The plan whose pool is busy for a share of the time, to 1 %."""
    low, high = 1.0, 64.0
    while high / low > 1.005:
        rate = (low * high) ** 0.5
        try:
            busy = planned(rate, chunk).pools[0].utilisation
        except RackplanError:
            busy = 1.0
        low, high = (rate, high) if busy < load else (low, rate)
    return planned(low, chunk)


@pytest.mark.parametrize("chunk", [1024, 8192])
@pytest.mark.parametrize("load", [0.6, 0.8, 0.9, 0.95])
def test_near_saturation(load: float, chunk: int, tmp_path: Path) -> None:
    plan = at_load(load, chunk)
    replays = [replay(plan, Run(requests=REQUESTS, seed=seed)).overall for seed in range(SEEDS)]
    seen = {"simulate": {name: float(np.mean([getattr(each, name) for each in replays])) for name in FIGURES}}
    if engines := os.environ.get("RACKPLAN_ENGINES"):
        runs = [by_vllm(plan, Path(engines), tmp_path, REQUESTS, seed) for seed in range(SEEDS)]
        seen["vLLM's scheduler"] = {name: float(np.mean([run[name] for run in runs])) for name in FIGURES}
    pool = plan.pools[0]
    print(f"\nchunk {chunk}, {pool.utilisation:.2f} busy, {pool.requests_per_s_per_replica:.2f} requests/s")
    for name in FIGURES:
        predicted = getattr(plan.prediction, name)
        beside = (f"{who} {1e3 * own[name]:.2f} ({predicted / own[name] - 1:+.1%})" for who, own in seen.items())
        print(f"  {name}: predicted {1e3 * predicted:.2f} ms, {', '.join(beside)}")
