"""Prompts: how long they take at every length, and what the time to first token is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.latency import Statistics
from solver.cost.pool.mix import Mix
from solver.cost.pool.waiting import Moments, Wait, crossing
from solver.cost.steps.replicas import Replicas

Floats = NDArray[np.float64]

#: Lengths at which prompts are priced; those in between are interpolated.
_PRICED = [2, 7, 10]
#: Prompts of candidates that are priced at once: fewer take hardly less time, more lie too far apart in memory.
ROWS_AT_ONCE = 2048


#: Sequences, other ranks that prefill too, and prompts of one step beside which prompts are priced.
_Beside = tuple[Floats | float, Floats | float, Floats | float]


@dataclass(frozen=True)
class Prefill:
    """Prefill of every class's prompts by length, each array (R, C, N).

    Attributes
    ----------
    latency: from the first chunk's start to the last one's end [s]. occupied: time that the slowest stage is taken [s].
    steps: passes. share: of the requests that each class and length has (C, N).
    """

    latency: Floats
    occupied: Floats
    steps: Floats
    share: Floats

    @classmethod
    def of(
        cls,
        pool: Replicas,
        mix: Mix,
        batch: Floats | float = 0.0,
        company: Floats | float = 1.0,
        prompts_per_step: Floats | float = 1.0,
        packed: bool = False,
    ) -> Prefill:
        """Price prompts of three lengths; those in between follow by quadratic interpolation. Rows in which they take
        different numbers of passes, which jump, are priced at all lengths, whatever rows are beside them.

        Parameters
        ----------
        packed: whether the next prompts fill up every chunk (:meth:`~solver.cost.steps.timing.Timing.packed_s`).
        """
        jumps = np.zeros(len(pool), bool)
        for tokens in mix.prompts if not packed else ():
            jumps |= np.ptp(np.ceil(tokens / pool.chunk_tokens[:, None]), axis=1) > 0
        if jumps.all() or not jumps.any():
            return cls._alike(pool, mix, (batch, company, prompts_per_step), packed, bool(jumps.any()))
        order = [np.flatnonzero(jumps), np.flatnonzero(~jumps)]
        parts = []
        for some, all_lengths in zip(order, (True, False), strict=True):
            own = _of_rows(batch, some), _of_rows(company, some), _of_rows(prompts_per_step, some)
            parts.append(cls._alike(pool.rows(some), mix, own, packed, all_lengths))
        back = np.argsort(np.concatenate(order))
        latency, occupied, steps = (
            np.concatenate([getattr(part, name) for part in parts])[back] for name in ("latency", "occupied", "steps")
        )
        return cls(latency, occupied, steps, parts[0].share)

    @classmethod
    def _alike(cls, pool: Replicas, mix: Mix, beside: _Beside, packed: bool, all_lengths: bool) -> Prefill:
        """As :meth:`of`, for rows of which all are priced at every length, or none is.

        Parameters
        ----------
        beside: batch, company and prompts per step.
        """
        batch, company, prompts_per_step = beside

        def priced(tokens: Floats, found: Floats) -> Floats:
            if packed:
                return np.array(pool.packed_s(tokens, found, batch, mix.context, company))
            return np.array(pool.prompt_s(tokens, found, batch, mix.context, company, prompts_per_step))

        few = []
        for tokens in mix.prompts:
            curved = len(tokens) > 1 and len(set(tokens[_PRICED])) == len(_PRICED)
            few.append(list(range(len(tokens))) if all_lengths else _PRICED if curved else [0])
        classes = list(zip(mix.prompts, mix.cached, mix.prefix, mix.lengths, few, strict=True))
        asked = np.concatenate([tokens[some] for tokens, *_, some in classes])[:, None]
        found = np.concatenate([p + (cached - p) * ratio[some] for _, cached, p, ratio, some in classes])[:, None]
        # As many at once as a call takes for little more than one.
        parts = max(1, len(asked) * len(pool) // ROWS_AT_ONCE)
        known = [priced(*part) for part in zip(np.array_split(asked, parts), np.array_split(found, parts), strict=True)]
        of_class = np.split(np.concatenate(known, axis=1), np.cumsum([len(some) for some in few])[:-1], axis=1)
        columns = [
            each if len(some) == len(tokens) else np.einsum("nk,okr->onr", _lagrange(tokens[some], tokens), each)
            for each, tokens, some in zip(of_class, mix.prompts, few, strict=True)
        ]
        latency, occupied, steps = np.moveaxis(np.maximum(columns, 0.0), (0, 1, 2, 3), (2, 0, 3, 1))
        # Interpolated, one step may be 1 + 2e-16, and is then taken for two.
        return cls(latency, occupied, np.round(steps, 9), mix.share[:, None] * mix.weights)

    def rows(self, index: Any) -> Prefill:
        """Some of the rows, by index or mask."""
        return Prefill(self.latency[index], self.occupied[index], self.steps[index], self.share)

    def towards(self, other: Prefill, part: Floats, begin: Prefill | None = None) -> Prefill:
        """Moved by part of the way from one (this, unless told) to another, linear in between (R,)."""
        begin = self if begin is None else begin
        if other is begin:
            return self
        way = part[:, None, None]
        latency, occupied, steps = (
            getattr(self, name) + way * (getattr(other, name) - getattr(begin, name))
            for name in ("latency", "occupied", "steps")
        )
        return Prefill(latency, occupied, steps, self.share)

    def mean(self, values: Floats) -> Floats:
        """Mean over requests of a quantity (R, C, N)."""
        return np.asarray(np.einsum("rcn,cn->r", values, self.share))

    def moments(self, service: Floats) -> Moments:
        """Moments over requests of a service time (R, C, N)."""
        return Moments(self.mean(service), self.mean(service**2), self.mean(service**3))


def _of_rows(value: Floats | float, some: NDArray[np.intp]) -> Floats | float:
    """A quantity of some rows; one number is that of all."""
    return value[some] if isinstance(value, np.ndarray) and value.ndim else value


@dataclass(frozen=True)
class FirstToken:
    """What the time to first token is made of.

    Attributes
    ----------
    own: time of the prompts of every class and length by themselves (R, C, N) [s], as a quantile of the wait finds it;
        on average for None.
    share: of the requests that each has (C, N).
    queue: the wait before it.
    """

    own: Statistics
    share: Floats
    queue: Wait

    def each(self, share: float | None) -> Floats:
        """A quantile of every entry by itself, or its mean (R, C) [s]."""
        return np.stack([self.of([entry], share) for entry in range(len(self.share))], axis=1)

    def of(self, entries: Sequence[int], share: float | None, delay: Floats | float = 0.0) -> Floats:
        """A quantile over the requests of some entries, or their mean (R,) [s]: of the sum of own time and wait.

        Parameters
        ----------
        delay: of the requests of each entry, besides (C,) [s].
        """
        own = self.own(share)
        times = own[:, entries] + np.broadcast_to(delay, len(self.share))[entries, None]
        times = times.reshape(len(times), -1)
        if times.shape[1] == 1:
            return np.asarray(times[:, 0] + (self.queue.mean if share is None else self.queue.quantile(share)))
        weights = self.share[entries].ravel()
        weights = weights / weights.sum()
        if share is None:
            return np.asarray(times @ weights + self.queue.mean)
        late = 1 - share
        longest = self.queue.quantile(1 - late / 2)

        def tail(time: Floats) -> Floats:
            return np.asarray(self.queue.beyond(time[:, None] - times) @ weights)

        return crossing(tail, times.min(axis=1), times.max(axis=1) + longest, late)


def _lagrange(points: Floats, places: Floats) -> Floats:
    """Weights of values at ``points`` (K,) for the polynomial through them at ``places`` (N, K)."""
    weights = np.ones((len(places), len(points)))
    for k, point in enumerate(points):
        for other in np.delete(points, k):
            weights[:, k] *= (places - other) / (point - other)
    return weights
