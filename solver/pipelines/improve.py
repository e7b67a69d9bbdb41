"""From a pipeline of aligned stages to any placement: moves and exchanges of runs, judged by the exact flow.

Stages of machines that all hold the same layers leave something on the table where links are slow or machines few: two
machines of four layers can run beside one of eight. Annealing over single machines finds such placements; it starts
from the stages, so it never ends below them.
"""

from __future__ import annotations

import math
from random import Random

from solver.pipelines.machines import UnlikeMachines
from solver.pipelines.plan import RequestPipeline, Runs, flow_through, flow_value

STEPS = 4000
"""Placements that are tried."""
HEAT = 0.05
"""Share of the flow that a first step may lose with probability 1/e; it falls to nothing."""


def improve(start: RequestPipeline, bound: float, seed: int = 0, depth: int | None = None) -> RequestPipeline:
    """A placement with at least the flow of ``start``.

    Parameters
    ----------
    bound: flow at which the search may stop.
    depth: most machines on a path that carries tokens.
    """
    fleet, random = start.fleet, Random(seed)
    best = start
    runs, flow = dict(start.runs), start.tokens_per_s
    for step in range(STEPS):
        if best.tokens_per_s >= bound * (1 - 1e-5):
            break
        trial = _neighbour(fleet, runs, random)
        if not trial:
            continue
        value = flow_value(fleet, trial)
        heat = HEAT * start.tokens_per_s * (1 - step / STEPS) + 1e-9
        if value < flow and random.random() >= math.exp((value - flow) / heat):
            continue
        runs, flow = trial, value
        if flow > best.tokens_per_s * (1 + 1e-9):
            found = flow_through(fleet, runs)
            if found is not None and (depth is None or found.depth <= depth):
                best = found
    return best


def _neighbour(fleet: UnlikeMachines, runs: Runs, random: Random) -> dict[int, tuple[int, int]]:
    """One machine gets another run beside those of others, or two machines exchange runs; empty if that is illegal."""
    trial = dict(runs)
    machine = random.randrange(len(fleet.kinds))
    if random.random() < 0.3:
        other = random.randrange(len(fleet.kinds))
        mine, theirs = trial.pop(machine, None), trial.pop(other, None)
        for one, run in ((machine, theirs), (other, mine)):
            if run is not None:
                if run[1] - run[0] not in fleet.tokens_per_s[fleet.kinds[one]]:
                    return {}
                trial[one] = run
        return trial
    held = random.choice(sorted(fleet.tokens_per_s[fleet.kinds[machine]]))
    ends = sorted({0, fleet.layers, *(at for run in runs.values() for at in run)})
    first = random.choice(ends) if random.random() < 0.5 else random.choice(ends) - held
    if not 0 <= first <= fleet.layers - held:
        return {}
    trial[machine] = (first, first + held)
    return trial
