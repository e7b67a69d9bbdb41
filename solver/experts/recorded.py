"""Recorded expert loads joined to the layout: what balance spare copies buy, and the maps that reach it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.cost.instance import Instance
from solver.experts import Loads, SlotGrid, SwapBudget, place_experts, read_loads
from solver.experts.bounds.certificate import simple_bounds
from solver.experts.packing.counts import water_fill
from solver.experts.packing.pack import pack
from solver.experts.several import ProfileEffort, place_profiles
from solver.experts.splits import hottest_over_mean
from solver.workload import Scenario
from solver.workload.scenario import RecordedLoads

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Slots that a rank may have beyond the fewest that hold every expert.
MORE_SLOTS = 2
#: A short search this near to perfectly even ranks leaves nothing for more slots to gain.
EVEN_ENOUGH = 1.005
#: Search short enough for every number of ranks and slots; the chosen ones are placed with care.
QUICK = SwapBudget(rounds=2, tolerance=3e-3)
#: Shares of a layer sum to 1 within this.
ROUNDING = 1e-9
#: Exchanges of slots, times slots of a rank, in a short and a careful search for several workloads.
QUICK_EXCHANGES, CAREFUL_EXCHANGES = 60, 1000


def embedded(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario with the content of the files of expert loads that it names, to six significant digits.

    Parameters
    ----------
    folder: where relative paths start.

    Raises
    ------
    BadInput: a file that cannot be read, or holds a load that is negative or not finite.
    """
    entries: list[RecordedLoads] = []
    for entry in scenario.expert_loads:
        if isinstance(entry, RecordedLoads):
            entries.append(entry)
            continue
        loads = read_loads([folder / entry])
        for number, values in enumerate(loads.values):
            source = entry if loads.profiles == 1 else f"{entry}, profile {number}"
            rounded = tuple(tuple(float(f"{load:.6g}") for load in layer) for layer in values.tolist())
            entries.append(RecordedLoads(source=source, loads=rounded))
    return scenario.model_copy(update={"expert_loads": tuple(entries)}) if entries else scenario


def balance_of(instance: Instance) -> RecordedBalance | None:
    """How evenly the recorded loads of an instance lie over ranks; None where none are recorded."""
    if instance.expert_shares is None:
        return None
    asked = instance.scenario.options.redundant_experts
    return _balance(instance.expert_shares.tobytes(), instance.expert_shares.shape, None if asked == "auto" else asked)


@lru_cache(maxsize=4)
def _balance(shares: bytes, shape: tuple[int, int, int], asked: int | None) -> RecordedBalance:
    return RecordedBalance(np.frombuffer(shares).reshape(shape), asked)


@dataclass(frozen=True, eq=False)
class RecordedBalance:
    """Balance of recorded loads by ranks and spare copies, each worked out once.

    Prices come from a short search over all layers, whose map a plan can always fall back on: no plan is priced at a
    balance that it does not reach.

    Attributes
    ----------
    shares: of a layer's tokens by expert (workloads, layers, experts).
    asked: spare copies that the user demands; None = the program chooses.
    """

    shares: Floats
    asked: int | None = None
    _quick: dict[SlotGrid, Ints] = field(default_factory=dict)
    _reached: dict[SlotGrid, float] = field(default_factory=dict)
    _least: dict[SlotGrid, float] = field(default_factory=dict)
    _maps: dict[SlotGrid, list[tuple[int, ...]]] = field(default_factory=dict)

    @property
    def experts(self) -> int:
        """Routed experts of a layer."""
        return int(self.shares.shape[2])

    def spares(self, ep: int) -> tuple[int, ...]:
        """Spare copies that fill every rank: the fewest, and those of a few more slots; or just what the user demands.

        Where the fewest already make ranks even, more would cost memory, gain nothing, and leave the bound as it is.
        """
        if self.asked is not None:
            return () if (self.experts + self.asked) % ep else (self.asked,)
        fewest = -self.experts % ep
        found = [fewest]
        while len(found) <= MORE_SLOTS and self._grid(ep, found[-1]).slots < self.experts:
            if self.imbalance(ep, found[-1]) <= EVEN_ENOUGH and self.least(ep, found[-1]) == 1.0:
                break
            found.append(found[-1] + ep)
        return tuple(found)

    def imbalance(self, ep: int, redundant_experts: int) -> float:
        """Hottest rank over the mean that a short search reaches: mean over layers and workloads."""
        grid = self._grid(ep, redundant_experts)
        if grid not in self._reached:
            self._quick[grid] = self._search(grid)
            self._reached[grid] = self._mean_imbalance(self._quick[grid])
        return self._reached[grid]

    def least(self, ep: int, redundant_experts: int) -> float:
        """Hottest rank over the mean that no placement undercuts: mean of the bounds of each layer and workload."""
        grid = self._grid(ep, redundant_experts)
        if grid not in self._least:
            loads = self.shares.reshape(-1, self.experts) * ep
            counts = water_fill(loads, grid.places, ep)
            proofs = simple_bounds(loads, ep, grid.slots, loads / counts)
            limit = float(np.mean([proof.limit for proof in proofs]))
            self._least[grid] = limit if limit > 1.0 + ROUNDING else 1.0
        return self._least[grid]

    def maps(self, ep: int, redundant_experts: int) -> list[tuple[int, ...]]:
        """Expert in every slot of each layer, at least as even as priced."""
        grid = self._grid(ep, redundant_experts)
        if grid not in self._maps:
            priced = self.imbalance(ep, redundant_experts)
            careful = self._search(grid, careful=True)
            best = careful if self._mean_imbalance(careful) <= priced else self._quick[grid]
            self._maps[grid] = [tuple(layer.ravel().tolist()) for layer in best]
        return self._maps[grid]

    def _grid(self, ep: int, redundant_experts: int) -> SlotGrid:
        return SlotGrid(ep, (self.experts + redundant_experts) // ep)

    def _search(self, grid: SlotGrid, careful: bool = False) -> Ints:
        """Expert in each slot (layers, ranks, slots)."""
        loads = self.shares.transpose(1, 0, 2) * grid.ranks
        workloads = loads.shape[1]
        if workloads > 1:
            turns = max(1, (CAREFUL_EXCHANGES if careful else QUICK_EXCHANGES) // grid.slots)
            return place_profiles(loads, np.full(workloads, 1 / workloads), grid, ProfileEffort(turns, polish=turns))
        if careful:
            return place_experts(Loads.of(self.shares), grid).map.slots
        alone = loads[:, 0]
        counts = water_fill(alone, grid.places, grid.ranks)
        target = np.maximum(1.0, (alone / counts).max(axis=1)) * (1 + QUICK.tolerance)
        return pack(alone / counts, counts, grid.ranks, grid.slots, target, QUICK)

    def _mean_imbalance(self, slots: Ints) -> float:
        return float(np.mean([hottest_over_mean(slots, shares) for shares in self.shares]))
