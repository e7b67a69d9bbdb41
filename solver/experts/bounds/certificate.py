"""What a lower bound rests on, and how to check it without trusting the search that found it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from solver.experts.arrays import Floats, Int, Ints
from solver.experts.bounds.prices import Prices

MARGIN = 1e-9
"""Relative slack of every float comparison in a proof; a bound is stated this much below the limit that was refuted."""


@dataclass(frozen=True)
class Certificate:
    """No placement of these loads has a hottest rank below ``limit``.

    ``mean``: the ranks share all the load. ``copies``: keeping every copy within the limit takes more slots, or more
    ranks for one expert, than there are. ``prices``: whatever the counts, the copies cost more than ranks within the
    limit can hold; ``prices`` and ``slot_price`` (the price of using a slot at all) say so. ``search``: CP-SAT
    exhausted the alternatives; the one proof that arithmetic cannot repeat.

    Attributes
    ----------
    limit: load of the hottest rank, in the unit of the loads.
    """

    limit: float
    reason: Literal["mean", "copies", "prices", "search"]
    prices: Prices | None = None
    slot_price: float = 0.0

    def proves(self, loads: Floats, ranks: int, slots: int) -> bool:
        """Derive the claim again from the loads of the experts (experts,) alone; a ``search`` is never re-derived."""
        if self.reason == "mean":
            return bool(self.limit <= loads.sum() / ranks * (1 + MARGIN))
        if self.reason == "copies":
            needed = np.maximum(1.0, np.ceil(loads / (self.limit * (1 - MARGIN)) - MARGIN / 2))
            return bool(needed.sum() > ranks * slots or needed.max() > ranks)
        if self.reason == "prices" and self.prices is not None:
            same = self.prices.slots == slots and self.limit <= self.prices.limit * (1 - MARGIN / 2)
            return same and refutes(self.prices, self.slot_price, loads, ranks)
        return False


def refutes(prices: Prices, slot_price: float, loads: Floats, ranks: int) -> bool:
    """Whether every choice of counts costs more than ``ranks`` ranks within the limit of these prices can hold."""
    places = ranks * prices.slots
    cost = copy_costs(prices, slot_price, loads, ranks)
    surplus = cost.min(axis=1).sum() - slot_price * places
    scale = prices.weights.sum() * places * max(1.0, prices.limit)
    return bool(surplus > MARGIN * scale)


def copy_costs(prices: Prices, slot_price: float, loads: Floats, ranks: int) -> Floats:
    """Cost ``k (f(load/k) + slot_price)`` of giving an expert k = 1, 2, ... copies (experts, copies).

    Infinite outside :func:`copy_range`.
    """
    fewest, most = copy_range(loads, prices.limit, ranks, prices.slots)
    copies = np.arange(1, max(1, int(most.max())) + 1)
    cost = copies * (prices.of(loads[:, None] / copies) + slot_price)
    return np.where((copies >= fewest[:, None]) & (copies <= most[:, None]), cost, np.inf)


def copy_range(loads: Floats, limit: float, ranks: int, slots: int) -> tuple[Ints, Ints]:
    """Fewest copies of each expert that stay within the limit, and most that leave room for the others' fewest."""
    fewest = np.maximum(1, np.ceil(loads / limit - MARGIN)).astype(Int)
    return fewest, np.minimum(ranks, fewest + ranks * slots - fewest.sum())


def simple_bounds(loads: Floats, ranks: int, slots: int, copy_load: Floats) -> list[Certificate]:
    """The better of mean load and lightest possible heaviest copy, for many layers.

    Parameters
    ----------
    loads: load of each expert (layers, experts).
    copy_load: load of one copy under water-filled counts (layers, experts); its maximum is the lightest possible.
    """
    means, copies = loads.sum(axis=1) / ranks, copy_load.max(axis=1)
    return [
        Certificate(float(mean), "mean") if mean >= copy else Certificate(float(copy), "copies")
        for mean, copy in zip(means, copies, strict=True)
    ]
