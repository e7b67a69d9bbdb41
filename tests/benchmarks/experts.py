"""Expert placement beside EPLB in one process: gaps to the certified bound, seconds, and their ratios.

``pytest tests/benchmarks/experts.py -m benchmark -s -n 0``. Recorded loads if they lie beside the project, else synthetic
ones of the same size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from eplb import eplb

from solver.experts import (
    Loads,
    SlotGrid,
    drift_report,
    place_experts,
    read_loads,
    rebalance,
    synthetic_loads,
    trade_off,
)
from solver.experts.packing.deal import repeated
from solver.experts.splits import hottest_over_mean

pytestmark = pytest.mark.benchmark
RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "experts" / "sglang-deepseek"
#: Ranks, slots, largest mean gap in percent, most seconds for all layers.
GRIDS = [(32, 9, 0.20, 0.5), (64, 5, 0.20, 0.5), (72, 4, 0.21, 0.5), (96, 3, 0.5, 5.0), (144, 2, 0.5, 5.0)]
DRIFTING = ("prefill_in512", "prefill_in1024", "prefill_in2048", "prefill_in4096")
T = TypeVar("T")


@pytest.fixture(scope="module")
def loads() -> Loads:
    if RECORDED.is_dir():
        return read_loads(sorted(RECORDED.glob("*.json")))
    return Loads.joined([_renamed(synthetic_loads(58, 256, dense_layers=3, seed=seed), seed) for seed in range(4)])


def _renamed(loads: Loads, seed: int) -> Loads:
    return Loads.of(loads.values, [f"synthetic {seed}"])


def _timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """The result, wall seconds and processor seconds."""
    wall, busy = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - busy


@pytest.mark.parametrize(("ranks", "slots", "most_gap", "most_s"), GRIDS)
def test_gaps_and_times(loads: Loads, ranks: int, slots: int, most_gap: float, most_s: float) -> None:
    rows = []
    grid = SlotGrid(ranks, slots)
    place_experts(synthetic_loads(2, 256), grid)
    for name in loads.names:
        alone = loads.select([name])
        ours, wall, busy = _timed(partial(place_experts, alone, grid))
        shares = alone.shares()[:, 0] * ranks
        slots_of, wall_eplb, _ = _timed(partial(eplb, shares, grid.places, 1, 1, ranks))
        theirs = slots_of.reshape(-1, ranks, slots)
        gap = hottest_over_mean(theirs, shares) / ours.bound - 1
        doubles = (np.diff(np.sort(theirs, axis=2), axis=2) == 0).sum(axis=(1, 2)).mean()
        assert not repeated(ours.map.slots).any()
        rows.append((ours.gap.mean() * 100, ours.gap.max() * 100, wall, busy, gap.mean() * 100, wall_eplb, doubles))
    mean_gap, worst, wall, busy, eplb_gap, wall_eplb, doubles = np.array(rows).T
    print(
        f"\nEP{ranks}x{slots}, {len(loads.moe_layers)} layers, {loads.profiles} workloads: "
        f"ours {mean_gap.mean():.3f} % (worst workload {mean_gap.max():.3f}, worst layer {worst.max():.2f}) in "
        f"{wall.mean():.2f} s (at most {wall.max():.2f} s, processor {busy.max():.2f} s); "
        f"EPLB {eplb_gap.mean():.2f} % in {wall_eplb.mean():.2f} s, {doubles.mean():.1f} doubles a layer; "
        f"gap ratio {eplb_gap.mean() / mean_gap.mean():.1f}, time ratio {wall_eplb.mean() / wall.mean():.2f}"
    )
    if RECORDED.is_dir():
        assert mean_gap.mean() <= most_gap
        assert busy.mean() <= most_s


def test_drift(loads: Loads) -> None:
    names = [name for name in loads.names if name in DRIFTING or not name.startswith("prefill")]
    chosen, grid = loads.select(names), SlotGrid(32, 9)
    report, wall, _ = _timed(partial(drift_report, chosen, grid))
    theirs = []
    for name in names:
        average = chosen.without(name).mean_shares()
        placed = eplb(average, grid.places, 1, 1, grid.ranks).reshape(-1, grid.ranks, grid.slots)
        theirs.append(hottest_over_mean(placed, chosen.select([name]).shares()[:, 0]).mean())
    placed = eplb(chosen.mean_shares(), grid.places, 1, 1, grid.ranks).reshape(-1, grid.ranks, grid.slots)
    in_sample = np.mean([hottest_over_mean(placed, chosen.select([name]).shares()[:, 0]).mean() for name in names])
    print(
        f"\ndrift EP32x9, {len(names)} workloads: in sample {report.together.mean():.4f} (EPLB on the mean load "
        f"{in_sample:.3f}), one left out {report.left_out.mean():.4f} (EPLB {np.mean(theirs):.3f}), placed for one and "
        f"run on another {report.matrix[~np.eye(len(names), dtype=bool)].mean():.3f}; report in {wall:.1f} s"
    )
    if RECORDED.is_dir():
        assert report.together.mean() <= 1.02
        assert report.left_out.mean() <= 1.05


def test_rebalancing(loads: Loads) -> None:
    grid = SlotGrid(32, 9)
    source, target = (loads.select([name]) for name in (loads.names[0], loads.names[-1]))
    current, best = place_experts(source, grid).map, place_experts(target, grid).objective.mean()
    for share in (0.02, 0.05, 0.1):
        budget = int(share * grid.places * len(loads.moe_layers))
        answer, wall, _ = _timed(partial(rebalance, current, target, budget))
        before, after = answer.before.mean(), answer.after.mean()
        won = (before - after) / (before - best)
        print(
            f"\n{source.names[0]} -> {target.names[0]}: {before:.3f} -> {after:.4f} (placed anew {best:.4f}) moving "
            f"{answer.moved_copies.sum()} copies ({share:.0%}): {won:.1%} won back in {wall:.1f} s"
        )
    assert won >= 0.8


def test_nodes(loads: Loads) -> None:
    name = "prefill_in4096" if RECORDED.is_dir() else loads.names[0]
    chosen, grid = loads.select([name]), SlotGrid(32, 9, ranks_per_node=8)
    for slack in (0.01, 0.1, np.inf):
        curve, wall, _ = _timed(partial(trade_off, chosen, grid, groups=8, slacks=(slack,)))
        point = curve.points[0]
        print(
            f"\n{name}, nodes within {slack:.0%}: hottest over mean {point.imbalance.mean():.4f} (worst layer "
            f"{point.imbalance.max():.3f}), off home {point.far_share.mean():.2%} (at least {point.far_bound.mean():.2%}), "
            f"{wall / len(chosen.moe_layers):.2f} s a layer"
        )
