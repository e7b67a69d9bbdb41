"""Helix instances: flow against the published and the best known, bound, depth, latency and seconds of this run.

``pytest tests/benchmarks/pipelines.py -m benchmark -s -n 0``; needs the instances beside the project.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from fleets import greatest_flow, helix, recorded_runs

from solver.pipelines import flow_through, pipeline_curve, place_pipeline

pytestmark = pytest.mark.benchmark
#: Instances and the flow that is asked for, tokens/s: the best known, or the published one where none is.
INSTANCES = {
    "quality10_llama30b": 286.587,
    "single_a100_llama30b": 1044.533,
    "single_l4_llama30b": 252.649,
    "single_t4_llama30b": 397.685,
    "single24_llama70b": 2045.641,
    "dist24_llama70b": 1212.176,
    "dist24_noprune_llama70b": 952.107,
    "hetero42_llama70b": 4137.547,
    "hetero42_noprune_llama70b": 5905.787,
}


def folder(shared_data: Path) -> Path:
    """Where the instances lie."""
    found = shared_data / "helix"
    if not found.is_dir():
        pytest.skip("the Helix instances are not beside the project here")
    return found


def test_recorded_instances(shared_data: Path) -> None:
    below = []
    print("\ninstance                      flow     asked     bound     gap  depth  ms/token", end="")
    print(" |  published  depth  ms/token |  seconds")
    for name, asked in INSTANCES.items():
        fleet, record = helix(folder(shared_data) / f"helix_{name}.json")
        published = flow_through(fleet, recorded_runs(record["published"]["placement_start_end"]))
        assert published is not None
        start = time.perf_counter()
        plan = place_pipeline(fleet)
        seconds = time.perf_counter() - start
        assert greatest_flow(fleet, dict(plan.runs)) == pytest.approx(plan.tokens_per_s, rel=1e-5)
        print(
            f"{name:26}{plan.tokens_per_s:9.2f} {asked:9.2f} {plan.bound:9.2f} {plan.gap:7.3%} {plan.depth:6}"
            f"{plan.token_latency_s * 1e3:10.0f} | {published.tokens_per_s:10.2f} {published.depth:6}"
            f"{published.token_latency_s * 1e3:10.0f} | {seconds:8.1f}"
        )
        if plan.tokens_per_s < asked:
            below.append(name)
    assert not below


def test_flow_against_depth(shared_data: Path) -> None:
    fleet, _ = helix(folder(shared_data) / "helix_single24_llama70b.json")
    start = time.perf_counter()
    curve = pipeline_curve(fleet)
    print(f"\nsingle24, {time.perf_counter() - start:.1f} s: depth, tokens/s, ms/token")
    for plan in curve:
        print(f"{plan.depth:4} {plan.tokens_per_s:9.2f} {plan.token_latency_s * 1e3:8.0f}")
    assert len(curve) > 3


def test_latency_of_depth_against_helix_s_simulator(shared_data: Path) -> None:
    """The overhead of a machine from one simulated placement predicts the latency of the other."""
    fleet, record = helix(folder(shared_data) / "helix_single24_llama70b.json")
    known = record["best_known_here"]
    simulated = known["helix_simulator_check"]
    shallow = flow_through(fleet, recorded_runs(record["published"]["placement_start_end"]))
    deep = flow_through(fleet, recorded_runs(known["placement_start_end"]))
    assert shallow is not None
    assert deep is not None
    measured = simulated["published_placement"]["mean_decode_latency_s"]
    overhead = (measured - shallow.token_latency_s) / shallow.mean_depth
    predicted = replace(deep, fleet=replace(fleet, overhead_s=overhead)).token_latency_s
    actual = simulated["this_placement"]["mean_decode_latency_s"]
    print(
        f"\n{overhead * 1e3:.0f} ms a machine; {predicted:.2f} s predicted, {actual:.2f} s simulated at depth {deep.depth}"
    )
    assert abs(predicted / actual - 1) < 0.15
