"""Experts that are often chosen together on one node, so that tokens touch fewer nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from solver.errors import BadInput
from solver.experts.arrays import Float, Floats, Int, Ints
from solver.experts.packing.pack import SwapBudget, pack

LEAST_GAIN = 1e-12
"""Gain below which the search stops."""
TOGETHER = 8
"""One in so many experts is considered for swaps made together."""


class CoActivation(Protocol):
    """Statistics of which experts serve the same token."""

    @property
    def experts(self) -> int:
        """Number of experts."""

    def cost(self, home: Ints) -> float:
        """What is to be small for these home nodes (experts,)."""

    def swap_gains(self, home: Ints, nodes: int) -> Floats:
        """How much the cost falls when two experts exchange homes (experts, experts); symmetric."""


@dataclass(frozen=True, eq=False)
class TokenSample:
    """Experts chosen by sampled tokens: the exact measure, hypergraph connectivity.

    Attributes
    ----------
    choices: experts of each distinct choice (choices, experts per token).
    times: tokens that made the choice (choices,), as shares of all.
    experts: number of experts.
    """

    choices: Ints
    times: Floats
    experts: int

    @classmethod
    def of(cls, tokens: npt.ArrayLike, experts: int) -> TokenSample:
        """From expert numbers (tokens, experts per token)."""
        rows = np.asarray(tokens, Int)
        if rows.ndim != 2 or not rows.size or rows.min() < 0 or rows.max() >= experts:
            raise BadInput(f"sampled tokens need rows of expert numbers from 0 to {experts - 1}")
        rows = np.sort(rows, axis=1)
        if (rows[:, 1:] == rows[:, :-1]).any():
            raise BadInput("a sampled token names one expert twice")
        choices, times = np.unique(rows, axis=0, return_counts=True)
        return cls(choices, times / times.sum(), experts)

    def cost(self, home: Ints) -> float:
        """Mean number of nodes that a token touches."""
        return float((self._there(home, int(home.max()) + 1) > 0).sum(axis=1) @ self.times)

    def swap_gains(self, home: Ints, nodes: int) -> Floats:
        """Fall of the mean number of nodes touched.

        Leaving a node helps the tokens for which the expert is alone there; arriving hurts those that have no other
        expert there. Tokens with both experts do not change, which the last term puts right.
        """
        rows, size = self.choices, self.experts
        there = self._there(home, nodes)
        alone = self.times[:, None] * (np.take_along_axis(there, home[rows], axis=1) == 1)
        leaving = np.bincount(rows.ravel(), alone.ravel(), size)
        absent = self.times[:, None] * (there == 0)
        arriving = np.stack(
            [np.bincount(rows.ravel(), np.repeat(absent[:, n], rows.shape[1]), size) for n in range(nodes)], axis=1
        )
        pairs = rows[:, :, None] * size + rows[:, None, :]
        weights = np.broadcast_to(alone[:, :, None], pairs.shape)
        both = np.bincount(pairs.ravel(), weights.ravel(), size * size).reshape(size, size)
        gain = leaving[:, None] - arriving[:, home] - both
        return np.asarray(gain + gain.T)

    def _there(self, home: Ints, nodes: int) -> Ints:
        """Experts of each choice on each node (choices, nodes)."""
        return np.asarray((home[self.choices][:, :, None] == np.arange(nodes)).sum(axis=1))


@dataclass(frozen=True, eq=False)
class CoCounts:
    """How often two experts serve the same token (experts, experts): all that many profilers keep."""

    together: Floats

    @classmethod
    def of(cls, counts: npt.ArrayLike) -> CoCounts:
        """From symmetric counts; the diagonal does not matter."""
        table = np.array(counts, Float)
        if table.ndim != 2 or table.shape[0] != table.shape[1] or not np.isfinite(table).all() or (table < 0).any():
            raise BadInput("co-activation counts need a square table of finite numbers >= 0")
        if not np.allclose(table, table.T):
            raise BadInput("co-activation counts must be symmetric: experts a with b as often as b with a")
        np.fill_diagonal(table, 0.0)
        return cls(table / max(table.sum(), 1e-300))

    @property
    def experts(self) -> int:
        """Number of experts."""
        return len(self.together)

    def cost(self, home: Ints) -> float:
        """Share of co-activated pairs that lie on different nodes."""
        return float(self.together[home[:, None] != home].sum())

    def swap_gains(self, home: Ints, nodes: int) -> Floats:
        """Fall of the share of pairs apart."""
        to_node = self.together @ _on_node(home, nodes)
        drawn = to_node[:, home] - to_node[np.arange(len(home)), home][:, None]
        return np.asarray(2.0 * (drawn + drawn.T - 2.0 * self.together))


def homes_by_coactivation(
    statistics: CoActivation, loads: Floats, nodes: int, slack: float = 0.05, starts: int = 4, seed: int = 0
) -> Ints:
    """Home nodes (experts,) that keep co-activated experts together, equally many on each node.

    Steepest swaps from several starts; none may load a node beyond ``1 + slack`` times the mean (or what the most
    even homes need, where that is more).

    Parameters
    ----------
    loads: load of each expert of the layer (experts,).
    """
    experts = statistics.experts
    if len(loads) != experts or experts % nodes:
        raise BadInput(f"{len(loads)} loads of {experts} experts cannot be spread evenly over {nodes} nodes")
    even = _balanced(loads, nodes)
    cap = max(loads.sum() / nodes * (1 + slack), float(np.bincount(even, loads, nodes).max()))
    rng = np.random.default_rng(seed)
    tries = [even, *(_shuffled(even, loads, cap, rng) for _ in range(starts - 1))]
    return min((_descend(statistics, loads, home, nodes, cap) for home in tries), key=statistics.cost)


def _descend(statistics: CoActivation, loads: Floats, home: Ints, nodes: int, cap: float) -> Ints:
    """Steepest swaps; several at a time of disjoint experts as long as together they do better than the best alone."""
    cost = statistics.cost(home)
    for _ in range(20 * len(home)):
        gains = _allowed_gains(statistics, loads, home, nodes, cap)
        best = float(gains.max())
        if best <= LEAST_GAIN:
            break
        several = _swapped(home, _disjoint_swaps(gains))
        fine = np.bincount(several, weights=loads, minlength=nodes).max() <= cap
        if not fine or statistics.cost(several) > cost - best:
            several = _swapped(home, [divmod(int(gains.argmax()), len(home))])
        home, cost = several, statistics.cost(several)
    return home


def _allowed_gains(statistics: CoActivation, loads: Floats, home: Ints, nodes: int, cap: float) -> Floats:
    """Gain of each swap, -inf where it would load a node too much (experts, experts)."""
    after = np.bincount(home, weights=loads, minlength=nodes)[home][:, None] - loads[:, None] + loads
    allowed = np.maximum(after, after.T) <= cap
    return np.asarray(np.where(allowed & (home[:, None] != home), statistics.swap_gains(home, nodes), -np.inf))


def _disjoint_swaps(gains: Floats) -> list[tuple[int, int]]:
    """Good swaps, best first, no expert in two of them."""
    partner = gains.argmax(axis=1)
    value = gains[np.arange(len(gains)), partner]
    taken: set[int] = set()
    swaps = []
    for one in np.argsort(-value, kind="stable")[: max(2, len(gains) // TOGETHER)].tolist():
        other = int(partner[one])
        if value[one] > LEAST_GAIN and not {one, other} & taken:
            taken |= {one, other}
            swaps.append((one, other))
    return swaps


def _swapped(home: Ints, swaps: list[tuple[int, int]]) -> Ints:
    changed = home.copy()
    for one, other in swaps:
        changed[one], changed[other] = home[other], home[one]
    return changed


def _balanced(loads: Floats, nodes: int) -> Ints:
    """Homes that balance the load (experts,)."""
    experts = len(loads)
    target = np.array([loads.sum() / nodes])
    placed = pack(loads[None], np.ones((1, experts), Int), nodes, experts // nodes, target, SwapBudget())[0]
    home = np.empty(experts, Int)
    home[placed] = np.arange(nodes)[:, None]
    return home


def _shuffled(home: Ints, loads: Floats, cap: float, rng: np.random.Generator) -> Ints:
    """The homes (experts,) after many random swaps within the cap."""
    home = home.copy()
    node_load = np.bincount(home, weights=loads)
    for one, other in rng.integers(len(home), size=(8 * len(home), 2)):
        here, there, moved = home[one], home[other], loads[one] - loads[other]
        if node_load[here] - moved <= cap and node_load[there] + moved <= cap:
            node_load[here] -= moved
            node_load[there] += moved
            home[one], home[other] = there, here
    return home


def _on_node(home: Ints, nodes: int) -> Floats:
    """Whether an expert lives on a node, as 0 or 1 (experts, nodes)."""
    return np.asarray(home[:, None] == np.arange(nodes), Float)
