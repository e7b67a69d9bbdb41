"""From the map in use to a better one, sending only a limited number of expert copies over the network."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import numpy as np

from solver.errors import BadInput
from solver.experts.arrays import Bools, Floats, Int, Ints
from solver.experts.exchange import would_repeat
from solver.experts.expert_map import ExpertMap
from solver.experts.loads import Loads
from solver.experts.powers import power

EXPONENT = 16
"""Power mean over ranks that guides the moves: smooth, so that they see more than the hottest rank."""
LEAST_GAIN = 1e-6
"""Relative gain below which a move is not worth its step."""


@dataclass(frozen=True, eq=False)
class Rebalanced:
    """A map near another one.

    Attributes
    ----------
    map: the new map; a copy that stays on its rank keeps its slot.
    moved_copies: copies that each layer must fetch (MoE layers,): their expert was not on that rank before.
    before, after: hottest over mean rank (MoE layers,).
    """

    map: ExpertMap
    moved_copies: Ints
    before: Floats
    after: Floats


def rebalance(current: ExpertMap, loads: Loads, budget_copies: int) -> Rebalanced:
    """Spend a budget of moved copies, over all layers, where it cools the hottest ranks most.

    A move replaces one copy by a copy of another expert (the counts change, which cools every rank of that expert) or
    exchanges two copies. Its price is the number of copies that a rank must fetch because it did not hold them at the
    start; undoing a move gives the price back. The layer with the largest gain per fetched copy goes next.

    Parameters
    ----------
    loads: what the map should now be good for; of several profiles the weighted mean counts.
    budget_copies: expert copies that may be sent over the network in all.
    """
    if budget_copies < 0:
        raise BadInput(f"a budget of moved copies must be >= 0, got {budget_copies}")
    if current.violations():
        raise BadInput(f"the current map is not legal: {current.violations()[0]}")
    shares = np.einsum("lpe,p->le", current.loads_of(loads), loads.weights) * current.grid.ranks
    layers = [_Layer.of(placed, share) for placed, share in zip(current.slots, shares, strict=True)]
    before = np.array([layer.rank_load.max() for layer in layers])
    queue = [(-move.gain_per_copy, number, move) for number, layer in enumerate(layers) if (move := layer.best_move())]
    heapq.heapify(queue)
    left = budget_copies
    while queue:
        _, number, move = heapq.heappop(queue)
        if move.fetched > left:
            continue
        moved = layers[number].after(move)
        if moved.potential >= layers[number].potential:
            continue
        left -= move.fetched
        layers[number] = moved
        following = moved.best_move()
        if following:
            heapq.heappush(queue, (-following.gain_per_copy, number, following))
    slots = np.stack([_keeping_slots(old, layer.placed) for old, layer in zip(current.slots, layers, strict=True)])
    return Rebalanced(
        map=replace(current, slots=slots),
        moved_copies=np.array([int(layer.held_anew().sum()) for layer in layers]),
        before=before,
        after=np.array([layer.rank_load.max() for layer in layers]),
    )


@dataclass(frozen=True, order=True)
class _Move:
    """Slots that change and what they hold afterwards."""

    gain_per_copy: float
    fetched: int
    ranks: tuple[int, ...]
    slots: tuple[int, ...]
    experts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer on the way: slots (ranks, slots), loads with mean rank load 1 (experts,), what ranks held at first."""

    placed: Ints
    loads: Floats
    at_first: Bools

    @classmethod
    def of(cls, placed: Ints, loads: Floats) -> _Layer:
        return cls(placed, loads, _held(placed, len(loads)))

    def held_anew(self) -> Bools:
        """Copies on ranks that did not hold that expert at first (ranks, experts)."""
        return _held(self.placed, len(self.loads)) & ~self.at_first

    @property
    def rank_load(self) -> Floats:
        copies = np.bincount(self.placed.ravel(), minlength=len(self.loads))
        return np.asarray((self.loads / copies)[self.placed].sum(axis=1))

    @property
    def potential(self) -> float:
        """What every move must lower: the sum of rank loads to the power :data:`EXPONENT`."""
        return float(power(self.rank_load, EXPONENT).sum())

    def after(self, move: _Move) -> _Layer:
        placed = self.placed.copy()
        placed[list(move.ranks), list(move.slots)] = move.experts
        return replace(self, placed=placed)

    def best_move(self) -> _Move | None:
        """The move with the largest gain per fetched copy; None where nothing is gained."""
        moves = [move for move in (self._best_replacement(), self._best_exchange()) if move]
        return max(moves, default=None)

    def _best_replacement(self) -> _Move | None:
        """Replace one copy of x on rank p by a copy of y.

        Ranks with other copies of y cool, ranks with other copies of x warm; ranks that hold both are counted as if
        the two effects were apart.
        """
        ranks = np.arange(len(self.placed))[:, None]
        held = _held(self.placed, len(self.loads))
        copies = held.sum(axis=0)
        copy_load = self.loads / copies
        load = self.rank_load
        now = power(load, EXPONENT)
        with_fewer = copy_load * copies / np.maximum(copies - 1, 1) - copy_load
        with_more = self.loads / (copies + 1)
        warmer = np.where(held, power(load[:, None] + with_fewer, EXPONENT) - now[:, None], 0.0)
        cooler = np.where(held, power(load[:, None] - copy_load + with_more, EXPONENT) - now[:, None], 0.0).sum(axis=0)
        elsewhere = (warmer.sum(axis=0) - warmer)[ranks, self.placed]
        here = (load[:, None] - copy_load[self.placed])[:, :, None] + with_more
        change = power(here, EXPONENT) - now[:, None, None] + elsewhere[:, :, None] + cooler
        new = (~self.at_first).astype(Int)
        fetched: Ints = new[:, None, :] - new[ranks, self.placed][:, :, None]
        illegal = held[:, None, :] | (copies[self.placed] == 1)[:, :, None]
        found = _best(np.where(illegal, np.inf, change), fetched, now.sum())
        if found is None:
            return None
        gain, price, (rank, slot, expert) = found
        return _Move(gain, price, (rank,), (slot,), (expert,))

    def _best_exchange(self) -> _Move | None:
        """Exchange a copy on the hottest rank with one on another rank."""
        ranks = np.arange(len(self.placed))
        copies = np.bincount(self.placed.ravel(), minlength=len(self.loads))
        own = (self.loads / copies)[self.placed]
        load = own.sum(axis=1)
        now = power(load, EXPONENT)
        hot = int(load.argmax())
        moved = own[hot][:, None, None] - own
        change = power(np.maximum(load[hot] - moved, 0.0), EXPONENT) - now[hot]
        change += power(np.maximum(load[:, None] + moved, 0.0), EXPONENT) - now[:, None]
        new = (~self.at_first).astype(Int)
        comes = new[hot][self.placed] + new[ranks[None, :], self.placed[hot][:, None]][:, :, None]
        goes = new[hot][self.placed[hot]][:, None, None] + new[ranks[:, None], self.placed]
        illegal = would_repeat(np.broadcast_to(self.placed[hot], self.placed.shape), self.placed).transpose(1, 0, 2)
        change[illegal] = np.inf
        change[:, hot] = np.inf
        found = _best(change, comes - goes, now.sum())
        if found is None:
            return None
        gain, price, (slot, rank, their_slot) = found
        experts = (int(self.placed[rank, their_slot]), int(self.placed[hot, slot]))
        return _Move(gain, price, (hot, rank), (slot, their_slot), experts)


def _best(change: Floats, fetched: Ints, total: float) -> tuple[float, int, tuple[int, ...]] | None:
    """Largest relative gain per fetched copy, its price and place; what costs nothing counts as a quarter of a copy."""
    gain_per_copy = -change / total / np.maximum(fetched, 0.25)
    place = int(gain_per_copy.argmax())
    gain = float(gain_per_copy.flat[place])
    if gain < LEAST_GAIN:
        return None
    at = tuple(int(axis) for axis in np.unravel_index(place, change.shape))
    return gain, int(fetched.flat[place]), at


def _held(placed: Ints, experts: int) -> Bools:
    """Whether a rank holds an expert (ranks, experts)."""
    held = np.zeros((len(placed), experts), np.bool_)
    held[np.arange(len(placed))[:, None], placed] = True
    return held


def _keeping_slots(old: Ints, new: Ints) -> Ints:
    """The new slots (ranks, slots), reordered so that every copy that stays on its rank keeps its slot."""
    kept = old.copy()
    for rank, (before, after) in enumerate(zip(old, new, strict=True)):
        gone = ~np.isin(before, after)
        kept[rank, gone] = after[~np.isin(after, before)]
    return kept
