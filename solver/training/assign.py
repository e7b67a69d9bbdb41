"""Layers and activation policies of every stage, exactly.

An iteration takes ``(m - rho) M + rho sum_s t_s``, M being the slowest stage (:mod:`solver.training.schedules`). Stages
meet only in that maximum and in the number of layers, so the best assignment falls apart:

1. for each stage and number of layers, the fastest mix of policies that its HBM holds;
2. for a given M, the least sum of stage times over all ways to deal the layers: a dynamic program;
3. M from the least at which the layers fit anywhere, upwards, until no larger one can be better.

Stages hold different numbers of micro-batches, so the first ones recompute more, or have fewer layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.training.activations import Policy
from solver.training.stages import StageCosts

Floats = NDArray[np.float64]
Counts = dict[Policy, int]


class Filled(NamedTuple):
    """A stage with its layers: how many of each policy, and seconds of a micro-batch."""

    counts: Counts
    seconds: float


def assign(costs: StageCosts) -> tuple[Filled, ...] | None:
    """The assignment with the shortest iteration; None where nothing fits the HBM."""
    choices = [_choices(costs, stage) for stage in range(costs.stages)]
    if not all(choices):
        return None
    if _even(costs):
        return tuple(next(iter(stage.values())) for stage in choices)
    return _dealt(costs, choices)


def _even(costs: StageCosts) -> bool:
    """Whether every stage must have the same number of layers."""
    return costs.stages == 1 or costs.layout.schedule.kind == "interleaved"


def _choices(costs: StageCosts, stage: int) -> dict[int, Filled]:
    """The fastest filling of a stage by its number of layers; more layers than fit are left out."""
    layers = costs.network.layers
    numbers = [layers // costs.stages] if _even(costs) else range(1, layers - costs.stages + 2)
    found: dict[int, Filled] = {}
    for number in numbers:
        filled = _fastest(costs, stage, number)
        if filled is None:
            break
        found[number] = filled
    return found


def _fastest(costs: StageCosts, stage: int, number: int) -> Filled | None:
    """The fastest mix of policies for so many layers on a stage.

    For every number of fully recomputed and reversible layers, the fewest selective ones that make the rest fit.
    """
    held = costs.held(stage)
    room = costs.room_bytes - costs.fixed_bytes(stage) - number * costs.layer_state_bytes
    kept = {policy: held * costs.kept_bytes(policy) for policy in costs.policies}
    full = np.arange(number + 1)[:, None]
    reverse = np.arange(number + 1 if "reversible" in kept else 1)[None, :]
    rest = number - full - reverse
    left = room - full * kept["full"] - (full + reverse > 0) * costs.working_bytes
    left = left - (reverse > 0) * held * costs.boundary_bytes
    selective = np.zeros_like(rest)
    if "selective" in kept:
        saved = max(kept["store"] - kept["selective"], 1e-300)
        selective = np.clip(np.ceil((rest * kept["store"] - left) / saved - 1e-12), 0, np.maximum(rest, 0)).astype(int)
    used = (rest - selective) * kept["store"] + selective * kept.get("selective", 0.0)
    times = costs.layer_s
    seconds = (rest - selective) * times["store"] + selective * times.get("selective", 0.0) + full * times["full"]
    seconds = np.where((rest >= 0) & (used <= left), seconds + reverse * times.get("reversible", 0.0), np.inf)
    f, r = (int(i) for i in np.unravel_index(int(np.argmin(seconds)), seconds.shape))
    if not np.isfinite(seconds[f, r]):
        return None
    s = int(selective[f, r])
    counts: Counts = {"store": number - f - r - s, "selective": s, "full": f, "reversible": r}
    return Filled({p: n for p, n in counts.items() if n}, float(seconds[f, r]) + costs.fixed_s(stage))


def _dealt(costs: StageCosts, choices: Sequence[dict[int, Filled]]) -> tuple[Filled, ...] | None:
    """The best way to deal the layers among the stages."""
    layers, rho = costs.network.layers, costs.bubble
    times = [np.array([filled.seconds for filled in stage.values()]) for stage in choices]
    paces = np.unique(np.concatenate(times))
    first = _least_pace(paces, times, layers)
    if first is None:
        return None
    dealt = {first: _deal(times, float(paces[first]), layers), len(paces) - 1: _deal(times, float(paces[-1]), layers)}
    least_sum = dealt[len(paces) - 1][0]
    best: float = math.inf
    numbers: tuple[int, ...] = ()
    for index in range(first, len(paces)):
        pace = float(paces[index])
        if (costs.micro_batches - rho) * pace + rho * least_sum >= best:
            break
        whole, found = dealt.get(index) or _deal(times, pace, layers)
        seconds = (costs.micro_batches - rho) * pace + rho * whole
        if seconds < best:
            best, numbers = seconds, found
    return tuple(stage[number] for stage, number in zip(choices, numbers, strict=True))


def _least_pace(paces: Floats, times: Sequence[Floats], layers: int) -> int | None:
    """Index of the least pace at which the stages hold all layers; None if they never do."""

    def holds(index: int) -> bool:
        caps = [int(np.searchsorted(stage, paces[index], side="right")) for stage in times]
        return min(caps) >= 1 and sum(caps) >= layers

    if not holds(len(paces) - 1):
        return None
    low, high = 0, len(paces) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _deal(times: Sequence[Floats], pace: float, layers: int) -> tuple[float, tuple[int, ...]]:
    """Least sum of stage times with no stage slower than a pace, and the layers of each stage."""
    sums = np.full(layers + 1, np.inf)
    sums[0] = 0.0
    chosen = []
    for stage in times:
        cap = int(np.searchsorted(stage, pace, side="right"))
        options = np.full((cap, layers + 1), np.inf)
        for number in range(1, cap + 1):
            options[number - 1, number:] = sums[: layers + 1 - number] + stage[number - 1]
        chosen.append(np.argmin(options, axis=0) + 1)
        sums = options.min(axis=0)
    numbers, left = [], layers
    for stage_choice in reversed(chosen):
        numbers.append(int(stage_choice[left]))
        left -= numbers[-1]
    return float(sums[layers]), tuple(reversed(numbers))


def stage_bytes(costs: StageCosts, stage: int, counts: Counts) -> tuple[float, float]:
    """Bytes of weights with their optimiser, and of activations, on a stage."""
    kept = math.fsum(count * costs.kept_bytes(policy) for policy, count in counts.items())
    kept += costs.boundary_bytes if counts.get("reversible") else 0.0
    again = counts.get("reversible", 0) + counts.get("full", 0)
    state = sum(counts.values()) * costs.layer_state_bytes + costs.fixed_bytes(stage)
    return state, costs.held(stage) * kept + (costs.working_bytes if again else 0.0)
