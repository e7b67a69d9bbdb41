"""Recorded DeepSeek-V3/R1 loads, a few layers of each: the figures that the search has to reach.

The benchmark (tests/benchmarks/experts.py) runs all layers and workloads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from eplb import eplb

from solver.experts import (
    Loads,
    SlotGrid,
    drift_report,
    map_text,
    place_experts,
    read_loads,
    rebalance,
    trade_off,
)
from solver.experts.splits import hottest_over_mean

DRIFTING = ("prefill_in512", "prefill_in1024", "prefill_in2048", "prefill_in4096")


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> Loads:
    folder = shared_data / "experts" / "sglang-deepseek"
    if not folder.is_dir():
        pytest.skip("recorded expert loads are not beside the project here")
    return read_loads(sorted(folder.glob("*.json")), dense_layers=(0, 1, 2))


def _some(loads: Loads, names: list[str] | tuple[str, ...], every: int) -> Loads:
    chosen = loads.select(names)
    return Loads.of(chosen.values[:, loads.moe_layers[::every]], chosen.names)


def test_what_was_recorded(recorded: Loads) -> None:
    assert (recorded.profiles, recorded.layers, recorded.experts) == (12, 61, 256)
    assert recorded.dense_layers == (0, 1, 2)


@pytest.mark.parametrize(
    ("ranks", "slots", "every", "most"),
    [(32, 9, 1, 0.2), (64, 5, 1, 0.2), (72, 4, 1, 0.21), (96, 3, 4, 0.5), (144, 2, 4, 0.6)],
)
def test_gaps(recorded: Loads, ranks: int, slots: int, every: int, most: float) -> None:
    """Mean gap in percent to a bound whose proof is checked again; far nearer than EPLB; no copies together."""
    for name in ("prefill_in4096", "decode_in500out1500"):
        loads = _some(recorded, [name], every)
        placement = place_experts(loads, SlotGrid(ranks, slots))
        assert placement.map.violations() == []
        assert placement.gap.mean() * 100 <= most
        shares = loads.shares()[:, 0] * ranks
        for share, (proof,) in zip(shares, placement.certificates, strict=True):
            assert proof.proves(share, ranks, slots)
        theirs = eplb(shares, ranks * slots, 1, 1, ranks).reshape(-1, ranks, slots)
        assert placement.objective.mean() < hottest_over_mean(theirs, shares).mean()


def test_drift(recorded: Loads) -> None:
    names = DRIFTING + tuple(name for name in recorded.names if name.startswith("decode"))
    report = drift_report(_some(recorded, names, 9), SlotGrid(32, 9))
    assert report.together.mean() <= 1.02
    assert report.left_out.mean() <= 1.06
    assert report.matrix[~np.eye(8, dtype=bool)].max() > 1.3


def test_rebalancing(recorded: Loads) -> None:
    """A tenth of the copies wins back four fifths of what drift costs."""
    grid = SlotGrid(32, 9)
    old, new = (_some(recorded, [name], 6) for name in ("prefill_in512", "prefill_in4096"))
    current, best = place_experts(old, grid).map, place_experts(new, grid).objective.mean()
    answer = rebalance(current, new, budget_copies=len(old.moe_layers) * grid.places // 10)
    lost = answer.before.mean() - best
    assert lost > 0.2
    assert (answer.before.mean() - answer.after.mean()) / lost >= 0.8


def test_nodes(recorded: Loads) -> None:
    """Two groups of experts a node: strictly at home 1.3, nearly even with few tokens off home."""
    loads = _some(recorded, ["prefill_in4096"], 12)
    curve = trade_off(loads, SlotGrid(32, 9, ranks_per_node=8), groups=8, slacks=(0.01, np.inf))
    even, strict = curve.points
    assert even.imbalance.max() <= 1.02
    assert even.far_share.mean() <= 0.12
    assert strict.imbalance.mean() > 1.2
    assert even.map.violations() == strict.map.violations() == []


def test_every_layer_gets_into_the_engine_map(recorded: Loads) -> None:
    placed = place_experts(recorded.select(["prefill_in4096"]), SlotGrid(32, 9)).map
    assert map_text(placed, "sglang").count("[") == 62
