"""Cuts of layers into stages, against every cut there is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from small_fleet import asked

import topologies
from solver.cost.network.fleet import fleets
from solver.cost.steps.partition import balanced
from solver.cost.steps.step import Load
from solver.llm import FFN, LLM, Layer, grouped_query
from solver.space.candidates import Candidates, price
from solver.space.cuts import STEPS, recut


def cuts(layers: int, parts: int) -> Iterator[list[tuple[int, int]]]:
    for ends in itertools.combinations(range(1, layers), parts - 1):
        yield [(a, b - 1) for a, b in itertools.pairwise((0, *ends, layers))]


@pytest.mark.parametrize("seed", range(20))
def test_a_balanced_cut_has_the_lightest_heaviest_stage(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 9, size=7).tolist()
    parts, head = int(rng.integers(2, 5)), int(rng.integers(0, 12))

    def heaviest(cut: list[tuple[int, int]]) -> int:
        return max(sum(weights[a : b + 1]) + (head if b == len(weights) - 1 else 0) for a, b in cut)

    found = balanced(weights, parts, last=head)
    assert found in list(cuts(len(weights), parts))
    assert heaviest(found) == min(map(heaviest, cuts(len(weights), parts)))


def uneven() -> Candidates:
    """Six layers, the first two with a wide dense FFN and the rest narrow, behind a large vocabulary."""
    attention = grouped_query(hidden=2048, heads=16, kv_heads=8, head_dim=128)
    wide, narrow = Layer(attention, FFN(2048, width=32768)), Layer(attention, FFN(2048, width=2048))
    llm = LLM("uneven", 2048, 200_000, (wide, wide, narrow, narrow, narrow, narrow))
    (fleet,) = fleets(topologies.hgx(nodes=1, device="h100", devices_per_host=4))
    found, _ = asked(llm, fleet=fleet)
    assert found is not None
    return found


def test_every_pipeline_is_cut_where_no_other_cut_is_faster() -> None:
    found, load = uneven(), Load.of(decode=64.0, context=1000.0)
    better = recut(found, load)
    slowest = better.replicas.step(load).slowest_s
    floor = better.optimistic.step(load).slowest_s
    deep = 0
    for row, candidate in enumerate(better.rows):
        pp = candidate.setup.parallelism.pp
        assert list(candidate.setup.stages) == sorted(candidate.setup.stages)
        if pp == 1:
            assert candidate == dataclasses.replace(found.rows[row], setup=candidate.setup)
            continue
        deep += 1
        every = [candidate.cut(tuple(cut)) for cut in cuts(len(found.llm.layers), pp)]
        others = price(found.llm, found.fleet, found.replicas.calibration, every).step(load).slowest_s
        assert slowest[row] <= others.min() * (1 + 2 * len(found.llm.layers) / STEPS)
        assert floor[row] <= others.min() * (1 + 1e-9)
    assert deep > 3
