"""A bound on the flow of any placement: every layer must be covered by machines that carry the flow together.

Take a placement with flow F. The machines that hold a layer have a throughput of F or more between them: they contain
a *cover*, a multiset of (type, layers held) with throughputs that sum to F. A machine that holds k layers is part of k
covers at most. So a price for one layer on each (type, layers held), under which no cover costs less than 1, values
all machines at ``sum over types of count x max over k of (k x price)`` at most, and the layers cannot be more than
that. The best prices come from a linear program with a row for
each cover, added as it is violated; what they prove can be checked by arithmetic. Links are ignored, so the bound
holds for any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from solver.glop import LinearModel
from solver.pipelines.machines import UnlikeMachines

GRID = 250
"""Steps into which the flow is cut for a first bound on the price of what is missing of a cover."""
MOST_VISITS = 100_000
"""Partial covers after which the bound of the grid has to do."""
CLOSE = 1e-6
"""Relative step to the next flow that is asked about: a bound this near to the flow counts as a proof."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CoverPrices:
    """Prices of one layer on a machine of a type with so many layers, for a flow.

    >>> fleet = UnlikeMachines.connected(4, ["a", "a"], {"a": {1: 9.0, 2: 5.0}})
    >>> prices = CoverPrices(5.1, {("a", 1): 1.0, ("a", 2): 0.5})
    >>> prices.most_layers(fleet)
    2.0
    """

    tokens_per_s: float
    price: dict[tuple[str, int], float]

    def most_layers(self, fleet: UnlikeMachines) -> float:
        """No placement with this flow covers more layers."""
        items = _items(fleet)
        values = np.array([self.price.get(item, 0.0) for item in items])
        worth: dict[str, float] = {}
        for (kind, held), value in zip(items, values.tolist(), strict=True):
            worth[kind] = max(worth.get(kind, 0.0), held * value)
        total = sum(fleet.count[kind] * most for kind, most in worth.items())
        cheapest, _ = _Covers(_rates(fleet, items), self.tokens_per_s).cheapest(values)
        return total / cheapest if cheapest > 0 else float("inf")

    def proves(self, fleet: UnlikeMachines) -> bool:
        """Whether no placement has this flow."""
        return self.most_layers(fleet) < fleet.layers * (1 - 1e-9)


def refute(fleet: UnlikeMachines, tokens_per_s: float) -> CoverPrices | None:
    """Prices that prove that no placement has this flow, if covers can prove it."""
    items = _items(fleet)
    rates = _rates(fleet, items)
    program = LinearModel()
    price = program.variables(0.0, np.inf, np.zeros(len(items)))
    counts = np.array(list(fleet.count.values()), float)
    worth = dict(zip(fleet.count, program.variables(0.0, np.inf, counts), strict=True))
    for (kind, held), one in zip(items, price, strict=True):
        program.row(0.0, np.inf, np.array([worth[kind], one]), np.array([1.0, -held]))
    finder = _Covers(rates, tokens_per_s)
    covers = [{number: ceil(tokens_per_s / rate)} for number, rate in enumerate(rates.tolist())]
    known = list(covers)
    while True:
        for cover in covers:
            program.row(1.0, np.inf, price[list(cover)], np.array(list(cover.values()), float))
        answer = program.least()
        values = np.maximum(answer.values[: len(items)], 0.0)
        prices = CoverPrices(tokens_per_s, dict(zip(items, values.tolist(), strict=True)))
        if prices.proves(fleet):
            return prices
        _, cover = finder.cheapest(values)
        if counts @ answer.values[len(items) :] >= fleet.layers or cover in known:
            return None
        covers = [cover]
        known.append(cover)


def flow_bound(fleet: UnlikeMachines, at_least: float = 0.0, at_most: float = np.inf, precision: float = 1e-4) -> float:
    """A flow that no placement exceeds [tokens/s].

    Parameters
    ----------
    at_least: a flow that is known to be possible; the bound is this one times ``1 + CLOSE`` if nothing more is.
    at_most: a bound that is known.
    precision: relative width at which the search between refuted and not refuted flows ends.
    """
    rooms = {kind: max(fleet.tokens_per_s[kind]) for kind in fleet.count}
    if sum(number * rooms[kind] for kind, number in fleet.count.items()) < fleet.layers:
        return 0.0
    work = (max(held * rate for held, rate in fleet.tokens_per_s[kind].items()) for kind in fleet.count)
    even = sum(number * most for number, most in zip(fleet.count.values(), work, strict=True)) / fleet.layers
    low, high = at_least, min(at_most, even * (1 + 1e-12))
    if low > 0 and refute(fleet, low * (1 + CLOSE)):
        return low * (1 + CLOSE)
    while high - low > precision * high:
        middle = (low + high) / 2
        if refute(fleet, middle):
            high = middle
        else:
            low = middle
    return high


def _items(fleet: UnlikeMachines) -> list[tuple[str, int]]:
    return [(kind, held) for kind in fleet.count for held in sorted(fleet.tokens_per_s[kind])]


def _rates(fleet: UnlikeMachines, items: list[tuple[str, int]]) -> _Floats:
    return np.array([fleet.tokens_per_s[kind][held] for kind, held in items])


class _Covers:
    """Cheapest covers of a flow (unbounded covering knapsack over real throughputs)."""

    def __init__(self, rates: _Floats, tokens_per_s: float) -> None:
        self._rates = rates
        self._flow = tokens_per_s
        self._steps = np.minimum(np.ceil(rates / tokens_per_s * GRID), GRID).astype(np.int64)

    def cheapest(self, price: _Floats) -> tuple[float, dict[int, int]]:
        """A price that no cover undercuts, and a cover at that price (or near it, where the search was cut short).

        On the grid throughputs are rounded up, so its least price is too low; depth first search over the real
        throughputs uses it as a bound on what is missing.
        """
        floor = self._on_grid(price)
        order = np.argsort(price / self._rates, kind="stable").tolist()
        rates, cost = self._rates.tolist(), price.tolist()
        visits = 0
        least, best = float("inf"), (0,)

        def extend(start: int, missing: float, paid: float, chosen: tuple[int, ...]) -> None:
            nonlocal visits, least, best
            for at in range(start, len(order)):
                item = order[at]
                left, total = missing - rates[item], paid + cost[item]
                if left <= self._flow * 1e-12:
                    if total < least:
                        least, best = total, (*chosen, item)
                    continue
                visits += 1
                if visits > MOST_VISITS:
                    return
                if total + floor[ceil(left / self._flow * GRID - 1e-6)] < least * (1 - 1e-12):
                    extend(at, left, total, (*chosen, item))

        extend(0, self._flow, 0.0, ())
        proven = floor[GRID] if visits > MOST_VISITS else least
        return proven, {item: best.count(item) for item in sorted(set(best))}

    def _on_grid(self, price: _Floats) -> list[float]:
        """Least price by steps that are missing (grid + 1,)."""
        floor = np.zeros(GRID + 1)
        for missing in range(1, GRID + 1):
            floor[missing] = (floor[np.maximum(missing - self._steps, 0)] + price).min()
        found: list[float] = floor.tolist()
        return found
