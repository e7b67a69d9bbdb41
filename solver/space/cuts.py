"""Where to cut the layers into pipeline stages: for each candidate the best cut at the load it would run at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from solver.cost.steps.partition import balanced
from solver.cost.steps.step import Load
from solver.cost.steps.work import StageFloor
from solver.replica import Stages
from solver.space.candidates import Candidate, Candidates, holds_longest, price

#: Weights are rounded down to so many steps of the heaviest layer, so that candidates alike share one cut.
STEPS = 200


def recut(found: Candidates, load: Load) -> Candidates:
    """Candidates with every pipeline cut so that its heaviest stage is lightest at ``load``.

    Where that cut leaves no room for the longest request and the old one did, the old one stays. The optimistic prices
    learn that no cut has a lighter heaviest stage.
    """
    deep = np.array([row.setup.parallelism.pp > 1 for row in found.rows])
    if not deep.any():
        return found
    llm, taken = found.llm, found.replicas.step(load)
    cuts: list[Stages] = []
    whole = len(llm.layers) - 1
    layer, head, optimum = np.zeros_like(taken.layer_s), np.zeros(len(found)), np.zeros(len(found))
    kinds = {kind: number for number, (kind, _) in enumerate(llm.layer_kinds)}
    order = tuple(kinds[layer] for layer in llm.layers)
    for row, candidate in enumerate(found.rows):
        pp = candidate.setup.parallelism.pp
        if pp == 1:
            cuts.append(((0, whole),))
            continue
        unit = float(taken.layer_s[row].max()) / STEPS
        steps = tuple(int(weight / unit) for weight in taken.layer_s[row])
        head_steps = int(float(taken.head_s[row]) / unit)
        cut, heaviest = _best_cut(order, steps, pp, head_steps)
        cuts.append(cut)
        layer[row], head[row], optimum[row] = np.array(steps) * unit, head_steps * unit, heaviest * unit
    rows = _cut(found.rows, cuts)
    realised = price(llm, found.fleet, found.replicas.calibration, rows)
    held, before = holds_longest(realised, found.longest), holds_longest(found.replicas, found.longest)
    if np.any(before & ~held):
        rows = tuple(old if b and not h else new for old, new, b, h in zip(found.rows, rows, before, held, strict=True))
        realised = price(llm, found.fleet, found.replicas.calibration, rows)
    return replace(
        found, rows=rows, replicas=realised, optimistic=found.optimistic.above(StageFloor(layer, head, optimum))
    )


def _cut(rows: Sequence[Candidate], cuts: Sequence[Stages]) -> tuple[Candidate, ...]:
    return tuple(
        row.cut(stages) if row.setup.stages != stages else row for row, stages in zip(rows, cuts, strict=True)
    )


@lru_cache(maxsize=20_000)
def _best_cut(order: tuple[int, ...], steps: tuple[int, ...], pp: int, head: int) -> tuple[Stages, float]:
    """The cut of layers of these kinds whose heaviest stage is lightest, and what that stage weighs.

    Parameters
    ----------
    order: kind of each layer. steps: weight of each kind; head: of the output head.
    """
    weights = [steps[kind] for kind in order]
    cut = balanced(weights, pp, last=head)
    heaviest = max(sum(weights[first : last + 1]) + (head if last == len(weights) - 1 else 0) for first, last in cut)
    return tuple(cut), float(heaviest)
