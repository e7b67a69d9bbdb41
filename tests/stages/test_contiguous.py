"""Cuts of layers into stages: equal to exhaustive enumeration, within every memory."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from solver.cost.partition import balanced
from solver.errors import BadInput, NoPlan
from solver.optimize.stages import StageKind, assign_stages, cut_layers


def kind(
    rng: np.random.Generator, layers: int, device: str = "h100", tp: int = 1, domain: str = "host", memory: float = 9.0
) -> StageKind:
    """A stage with uneven layers and ends."""
    times, sizes = rng.integers(1, 9, layers) / 4, rng.integers(1, 4, layers).astype(float)
    first, last = rng.integers(0, 5, 2) / 2, rng.integers(0, 5, 2) / 2
    return StageKind.of(device, tp, domain, times, sizes, memory, (first[0], first[1]), (last[0], last[1]))


def cuts(layers: int, stages: int) -> list[tuple[int, ...]]:
    """All ways to cut layers into stages, as ends with a leading zero."""
    return [(0, *inner, layers) for inner in itertools.combinations(range(1, layers), stages - 1)]


def cost(kinds: list[StageKind], ends: tuple[int, ...]) -> tuple[float, float]:
    """Slowest stage and total time of a cut, counted layer by layer; infinite where a memory overflows."""
    times = []
    for at, (stage, (first, end)) in enumerate(zip(kinds, itertools.pairwise(ends), strict=True)):
        time, size = stage.layer_s[first:end].sum(), stage.layer_bytes[first:end].sum()
        if at == 0:
            time, size = time + stage.first_s, size + stage.first_bytes
        if at == len(kinds) - 1:
            time, size = time + stage.last_s, size + stage.last_bytes
        times.append(time if size <= stage.memory_bytes else math.inf)
    return max(times), sum(times)


@pytest.mark.parametrize("seed", range(30))
def test_a_cut_equals_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers, stages = int(rng.integers(3, 9)), int(rng.integers(1, 4))
    kinds = [kind(rng, layers, memory=float(rng.integers(5, 14))) for _ in range(stages)]
    best = min((cost(kinds, ends) for ends in cuts(layers, stages)), default=(math.inf, math.inf))
    if math.isinf(best[0]):
        with pytest.raises(NoPlan, match="no cut of"):
            cut_layers(kinds)
        return
    found = cut_layers(kinds)
    assert (found.slowest_s, found.total_s) == pytest.approx(best)
    assert [stage.first for stage in found.stages[1:]] == [stage.last + 1 for stage in found.stages[:-1]]
    assert (found.stages[0].first, found.stages[-1].last) == (0, layers - 1)
    for stage, its in zip(found.stages, kinds, strict=True):
        assert stage.bytes <= its.memory_bytes


@pytest.mark.parametrize("seed", range(20))
def test_assignment_equals_enumeration_of_kinds_and_cuts(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    layers, stages = int(rng.integers(3, 7)), int(rng.integers(1, 4))
    kinds = [
        kind(rng, layers, "h200", 2, "new"),
        kind(rng, layers, "h200", 4, "new"),
        kind(rng, layers, "a100", 2, "old", memory=float(rng.integers(3, 12))),
    ]
    free = {"new": int(rng.integers(0, 7)), "old": int(rng.integers(0, 5))}
    best = math.inf
    for order in itertools.product(range(3), repeat=stages):
        taken = {name: sum(kinds[n].tp for n in order if kinds[n].domain == name) for name in free}
        if all(taken[name] <= free[name] for name in free):
            best = min([best, *(cost([kinds[n] for n in order], ends)[0] for ends in cuts(layers, stages))])
    if math.isinf(best):
        with pytest.raises(NoPlan, match="do not fit"):
            assign_stages(kinds, free, stages)
        return
    found = assign_stages(kinds, free, stages)
    assert found.slowest_s == pytest.approx(best)
    assert len(found.stages) == stages
    for name in free:
        assert sum(stage.tp for stage in found.stages if stage.domain == name) <= free[name]


@pytest.mark.parametrize("seed", range(10))
def test_equal_stages_without_memory_agree_with_the_cost_model_s_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, last = rng.integers(1, 9, 12).astype(float), float(rng.integers(0, 9))
    one = StageKind.of("h100", 8, "host", weights, np.zeros(12), 0.0, last=(last, 0.0))
    runs = balanced(weights.tolist(), 4, last=last)
    heaviest = max(weights[first : end + 1].sum() + (last if end == 11 else 0.0) for first, end in runs)
    assert cut_layers([one] * 4).slowest_s == pytest.approx(heaviest)


def test_a_stage_without_room_for_the_head_gets_fewer_layers() -> None:
    small = StageKind.of("h100", 1, "host", [1.0] * 6, [1.0] * 6, 4.0, last=(0.0, 2.0))
    assert [stage.last - stage.first + 1 for stage in cut_layers([small, small]).stages] == [4, 2]


def test_sixty_one_layers_on_unlike_domains_are_cut_at_once() -> None:
    moe = [0.4] * 3 + [1.0] * 58
    kinds = [
        StageKind.of(
            "h200", tp, f"host{host}", np.array(moe) * 8 / tp, np.full(61, 9e9) / tp, 110e9, (0.1, 2e9), (0.5, 2e9)
        )
        for host in range(2)
        for tp in (4, 8)
    ]
    found = assign_stages(kinds, {"host0": 8, "host1": 8}, stages=2)
    assert [stage.tp for stage in found.stages] == [8, 8]
    assert found.stages[0].last - found.stages[0].first > found.stages[1].last - found.stages[1].first
    assert found.balance < 1.02


def test_bad_input_is_said() -> None:
    with pytest.raises(BadInput, match="one time and one size"):
        StageKind.of("h100", 1, "host", [1.0], [1.0, 2.0], 1.0)
    with pytest.raises(BadInput, match="finite and >= 0"):
        StageKind.of("h100", 1, "host", [-1.0], [1.0], 1.0)
    with pytest.raises(BadInput, match="at least one stage"):
        cut_layers([])
    two = StageKind.of("h100", 1, "host", [1.0] * 2, [1.0] * 2, 9.0)
    three = StageKind.of("h200", 1, "host", [1.0] * 3, [1.0] * 3, 9.0)
    with pytest.raises(BadInput, match="same layers"):
        cut_layers([two, three])
    with pytest.raises(BadInput, match="2 layers cannot make 3 stages"):
        assign_stages([two], {"host": 8}, 3)
    with pytest.raises(NoPlan, match="2 layers cannot make 3 stages"):
        cut_layers([two] * 3)
