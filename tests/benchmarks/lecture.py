"""Seconds of a frontier of 20 points for DeepSeek-V3 on two racks, and of the training layouts of 22B to 1T.

``pytest tests/benchmarks/lecture.py -m benchmark -s -n 0``
"""

from __future__ import annotations

import time

import pytest

import topologies
from solver.optimize.arithmetic.run import Effort
from solver.optimize.training.search import TrainingSite, search
from solver.study.curve.curve import curve
from solver.study.curve.solving import Solves
from solver.training.efficiency import efficiency_of
from solver.training.job import TrainingJob
from solver.training.links import RankMachine
from solver.training.network import MEGATRON
from solver.workload import Scenario
from solver.workload.files import read_content


@pytest.mark.benchmark
def test_frontier_of_twenty_points() -> None:
    scenario = Scenario.from_mapping(read_content("deepseek-v3-2xnvl72")[0], "benchmark")
    start = time.perf_counter()
    found = curve(scenario, "speed", 20, solves=Solves(effort=Effort(workers=2)))
    served = [point for point in found.points if point.usd is not None]
    gaps = [point.gap or 0.0 for point in served]
    print(f"\n20 points in {time.perf_counter() - start:.1f} s, {len(served)} with a plan, gaps up to {max(gaps):.2%}")


@pytest.mark.benchmark
def test_crossings_from_three_starts() -> None:
    """Solved anew each time: 6 times the price must buy the same speed to 1 %."""
    scenario = Scenario.from_mapping(read_content("llama-70b-16xh100")[0] | {"objective": "throughput"}, "benchmark")
    found = {}
    for points in (4, 8, 24):
        start = time.perf_counter()
        tiers = curve(scenario, "speed", points, solves=Solves(effort=Effort(workers=2)), tiers=(2.5, 6)).tiers
        assert tiers is not None
        found[points] = tiers.within.served
        print(f"\n{points} points, {time.perf_counter() - start:.1f} s: {'; '.join(tiers.lines())}")
    speeds = [served.at for served in found.values() if served is not None]
    assert max(speeds) / min(speeds) <= 1.01


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "devices", "batch"),
    [("gpt-22b", 8, 4), ("gpt-175b", 64, 64), ("gpt-530b", 280, 280), ("gpt-1t", 512, 512)],
)
def test_training_layouts(name: str, devices: int, batch: int) -> None:
    start = time.perf_counter()
    device = topologies.device("a100")
    site = TrainingSite(RankMachine(device, efficiency_of(device.generation), 8), devices, 2.0)
    found = search(MEGATRON[name], TrainingJob(2048, batch, 3e11, flash=False), site)
    gap = 1 - found.bound / found.usd_per_million_tokens
    print(f"\n{name} on {devices}: {time.perf_counter() - start:.2f} s, gap {gap:.2%}, {found.costs.layout}")
