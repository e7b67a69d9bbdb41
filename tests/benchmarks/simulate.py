"""Replays of 100,000 requests: seconds on one core, and memory.

``pytest tests/benchmarks/simulate.py -m benchmark -s -n 0``
"""

from __future__ import annotations

import resource
import time

import pytest

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.simulate import Run, replay
from solver.workload import Scenario
from solver.workload.files import read_content

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("name", ["deepseek-v3-2xnvl72", "gpt-oss-120b-8xb200", "qwen3-32b-mixed-h100-h200"])
def test_a_hundred_thousand_requests(name: str) -> None:
    scenario = Scenario.from_mapping(read_content(name)[0], name)
    plan = solve_scenario(scenario, Effort(time_limit_s=30, workers=1, seed=1)).plan
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    report = replay(plan, Run(requests=100_000, seed=1))
    seconds = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    each = seconds / report.arrived * 1e6
    print(f"\n{name}: {report.arrived:,} requests in {seconds:.1f} s, {each:.0f} us each, {grown:.0f} MiB more")
    assert seconds < 60
