"""Which expert stands in which slot, for every MoE layer of an LLM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.errors import BadInput
from solver.experts.arrays import Floats, Ints
from solver.experts.grid import SlotGrid
from solver.experts.loads import Loads
from solver.experts.packing.deal import repeated
from solver.experts.splits import Split, hottest_over_mean, rank_loads


@dataclass(frozen=True, eq=False)
class ExpertMap:
    """Slots of all MoE layers.

    Attributes
    ----------
    slots: expert in each slot (MoE layers, ranks, slots).
    experts: number of routed experts.
    moe_layers: number of each MoE layer in the LLM, ascending.
    layers: layers of the LLM, dense ones included.
    """

    slots: Ints
    experts: int
    moe_layers: tuple[int, ...]
    layers: int

    @property
    def grid(self) -> SlotGrid:
        """Ranks and slots, without nodes."""
        return SlotGrid(self.slots.shape[1], self.slots.shape[2])

    def physical_to_logical(self, layer: int) -> list[int]:
        """Expert in each slot of one MoE layer, ranks in order; ``layer`` counts all layers of the LLM."""
        if layer not in self.moe_layers:
            raise BadInput(f"layer {layer} holds no experts; MoE layers are {_span(self.moe_layers)}")
        flat: list[int] = self.slots[self.moe_layers.index(layer)].ravel().tolist()
        return flat

    def violations(self) -> list[str]:
        """What an engine would not accept: experts out of range or missing, copies that share a rank."""
        found = []
        for layer, placed in zip(self.moe_layers, self.slots, strict=True):
            if placed.min() < 0 or placed.max() >= self.experts:
                found.append(f"layer {layer}: expert numbers must lie in 0 to {self.experts - 1}")
                continue
            missing = np.setdiff1d(np.arange(self.experts), placed)
            if missing.size:
                found.append(f"layer {layer}: expert {missing[0]} and {missing.size - 1} more have no slot")
            doubled = np.flatnonzero(repeated(placed))
            if doubled.size:
                found.append(f"layer {layer}: rank {doubled[0]} holds two copies of one expert, which wastes a slot")
        return found

    def loads_of(self, loads: Loads) -> Floats:
        """Shares of tokens by expert for the layers of this map (layers, profiles, experts)."""
        if loads.experts != self.experts or not set(self.moe_layers) <= set(loads.moe_layers):
            raise BadInput(
                f"a map of {self.experts} experts in layers {_span(self.moe_layers)} cannot carry loads of "
                f"{loads.experts} experts in layers {_span(loads.moe_layers)}"
            )
        return loads.shares()[[loads.moe_layers.index(layer) for layer in self.moe_layers]]

    def imbalance(self, loads: Loads, split: Split = "even", ranks_per_node: int = 0) -> Floats:
        """Hottest rank over mean rank (profiles, layers)."""
        shares = self.loads_of(loads).transpose(1, 0, 2)
        return np.stack([hottest_over_mean(self.slots, share, split, ranks_per_node) for share in shares])

    def rank_loads(self, loads: Loads, split: Split = "even", ranks_per_node: int = 0) -> Floats:
        """Share of a layer's tokens that each rank serves (profiles, layers, ranks)."""
        shares = self.loads_of(loads).transpose(1, 0, 2)
        return np.stack([rank_loads(self.slots, share, split, ranks_per_node) for share in shares])


def _span(layers: tuple[int, ...]) -> str:
    if not layers:
        return "none"
    whole = layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]}-{layers[-1]}" if whole else ", ".join(map(str, layers))
