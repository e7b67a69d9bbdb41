"""Prompts: how long they take at every length, and what the time to first token is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.waiting import Moments, Wait, crossing
from solver.cost.steps.replicas import Replicas

Floats = NDArray[np.float64]

#: Lengths at which prompts are priced; those in between are interpolated.
_PRICED = [2, 7, 10]
#: Prompts of candidates that are priced at once: fewer take hardly less time, more lie too far apart in memory.
ROWS_AT_ONCE = 2048


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
        """Price prompts of three lengths; those in between follow by quadratic interpolation. All lengths are priced where
        they take different numbers of passes, which jump.

        Parameters
        ----------
        packed: whether the next prompts fill up every chunk (:meth:`~solver.cost.steps.timing.Timing.packed_s`).
        """

        def priced(tokens: Floats, found: Floats) -> Floats:
            if packed:
                return np.array(pool.packed_s(tokens, found, batch, mix.context, company))
            return np.array(pool.prompt_s(tokens, found, batch, mix.context, company, prompts_per_step))

        few = []
        for tokens in mix.prompts:
            curved = len(tokens) > 1 and len(set(tokens[_PRICED])) == len(_PRICED)
            jumps = not packed and np.any(np.ptp(np.ceil(tokens[:, None] / pool.chunk_tokens), axis=0))
            few.append(list(range(len(tokens))) if jumps else _PRICED if curved else [0])
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


@dataclass(frozen=True)
class FirstToken:
    """What the time to first token is made of.

    Attributes
    ----------
    middle, high: own time of the prompts of every class and length (R, C, N) [s], as the median and the 95th percentile
        of the wait find it. share: of the requests that each has (C, N).
    queue: the wait before it.
    """

    middle: Floats
    high: Floats
    share: Floats
    queue: Wait

    def p50(self, entries: Sequence[int], delay: Floats | float = 0.0) -> Floats:
        """Median over the requests of some entries, each delayed by so much (R,) [s]."""
        return self._quantile(self.middle, entries, delay, 0.5)

    def p95(self, entries: Sequence[int], delay: Floats | float = 0.0) -> Floats:
        """95th percentile over the requests of some entries, each delayed by so much (R,) [s]."""
        return self._quantile(self.high, entries, delay, 0.95)

    def each(self, quantile: Callable[[Sequence[int]], Floats]) -> Floats:
        """A quantile of every entry by itself (R, C)."""
        return np.stack([quantile([entry]) for entry in range(len(self.share))], axis=1)

    def _quantile(self, own: Floats, entries: Sequence[int], delay: Floats | float, probability: float) -> Floats:
        """Quantile of the sum of own time and wait."""
        times = own[:, entries] + np.broadcast_to(delay, len(self.share))[entries, None]
        times = times.reshape(len(times), -1)
        if times.shape[1] == 1:
            return np.asarray(times[:, 0] + self.queue.quantile(probability))
        weights = self.share[entries].ravel()
        weights = weights / weights.sum()
        late = 1 - probability
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
