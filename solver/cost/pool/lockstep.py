"""Prefill ranks that step together: a step takes as long as its slowest rank, and who comes meanwhile waits for its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.prompts import Prefill
from solver.cost.pool.waiting import Moments
from solver.cost.steps.replicas import Replicas

Floats = NDArray[np.float64]

#: Probabilities, and the density of a standard normal distribution at their quantiles.
_PROBABILITIES = np.linspace(0.0, 1.0, 1025)
_DENSITIES = np.array([0.0, *(NormalDist().pdf(NormalDist().inv_cdf(p)) for p in _PROBABILITIES[1:-1].tolist()), 0.0])

@dataclass(frozen=True)
class Lockstep:
    """The steps of one rank's prompts, as the other ranks of its group meet them.

    With F(t) the share of a rank's steps that take at most t, the slowest of k ranks takes at most t in F(t)^k of the steps,
    also for a mean number of ranks k that is not whole.

    Attributes
    ----------
    prompts: whose steps these are.
    steps: of every class and length (R, C, N, 2) [s]: a full chunk, and the rest. counts: how many of each a prompt has.
    order: of all K = 2 C N steps, shortest first (R, K). times: the steps in this order [s]. within: F of each.
    """

    prompts: Prefill
    steps: Floats
    counts: Floats
    order: NDArray[np.intp]
    times: Floats
    within: Floats

    @classmethod
    def of(cls, prompts: Prefill, mix: Mix, chunk_tokens: Floats, together: Floats) -> Lockstep:
        """Of prompts as priced; a chunk has its part of a prompt's time by its tokens.

        Parameters
        ----------
        together: prompts m that share every step (R,), whose lengths even out.
        """
        occupied = prompts.occupied if np.all(together == 1) else _evened(prompts, together)
        chunk = chunk_tokens[:, None, None]
        whole = np.floor(mix.prompts / chunk)
        rest = mix.prompts - whole * chunk
        counts = np.stack([whole, (rest > 0).astype(float)], axis=-1)
        steps = np.stack([occupied * np.minimum(chunk / mix.prompts, 1.0), occupied * rest / mix.prompts], axis=-1)
        order = np.argsort(_flat(steps), axis=1)
        within = np.cumsum(np.take_along_axis(_flat(prompts.share[..., None] * counts), order, axis=1), axis=1)
        times = np.take_along_axis(_flat(steps), order, axis=1)
        return cls(prompts, steps, counts, order, times, within / within[:, -1:])

    def slowest(self, ranks: Floats) -> Moments:
        """Of the slowest step of so many ranks (R,)."""
        chance = np.diff(self.within ** ranks[:, None], axis=1, prepend=0.0)
        return Moments(*((self.times**power * chance).sum(axis=1) for power in (1, 2, 3)))

    def beside(self, others: Floats) -> Floats:
        """How long prompts hold their rank beside so many others that have prompts (R,), on average (R, C, N) [s].

        ``E max(t, M) = t + integral over s > t of P(M > s)``, with M the slowest of the others.
        """
        late = np.diff(self.times, axis=1) * (1 - self.within ** others[:, None])[:, :-1]
        beyond = np.concatenate([np.cumsum(late[:, ::-1], axis=1)[:, ::-1], np.zeros((len(late), 1))], axis=1)
        longer = np.empty_like(beyond)
        np.put_along_axis(longer, self.order, beyond, axis=1)
        return np.asarray(((self.steps + longer.reshape(self.steps.shape)) * self.counts).sum(axis=-1))

    def ranked(self, others: Floats) -> Floats:
        """As :meth:`beside`, with the spread that the others bring to prompts of one step (R, C, N) [s].

        Of a class, the share of such prompts that leave by t is ``F_c(t) F(t)^others``: its prompts of one length have the
        mean over the same ranks of this distribution.
        """
        single = self.counts[..., 0] == 0
        share, of_class = self.prompts.share, self.prompts.share.sum(axis=1, keepdims=True)
        # A class without requests has the lengths that all have.
        weights = np.where(of_class > 0, share, share.sum(axis=0)) / np.where(of_class > 0, of_class, share.sum())
        ends = np.cumsum(weights, axis=1)
        slowest = self.within ** others[:, None]
        found = self.beside(others)
        for number, end in enumerate(ends):
            own = np.zeros_like(self.steps)
            own[:, number, :, 1] = weights[number] * single[:, number]
            left = np.cumsum(np.take_along_axis(_flat(own), self.order, axis=1), axis=1) * slowest
            level = np.clip(left[:, None, :], (end - weights[number])[:, None], end[:, None])
            parts = np.diff(level, axis=2, prepend=(end - weights[number])[:, None] + np.zeros((len(left), 1, 1)))
            spread = (parts * self.times[:, None, :]).sum(axis=2) / weights[number]
            found[:, number] = np.where(single[:, number], spread, found[:, number])
        return found


#: Steps that a prompt whose rank is full waits beyond those of the group, for prompts of one length, and how many more for a
#: squared coefficient of variation of 1. Set in sight of simulated groups of 2 to 8 ranks and 1 to 4 prompts a step.
LEFT_BEHIND, LEFT_BEHIND_BY_LENGTH = 0.2, 2.2


@dataclass(frozen=True)
class RankGroup:
    """The ranks of a prefill replica, which take prompts and step together.

    Prompts of one step board and leave together: the ranks d act as one server. Those of many steps begin and end by
    themselves. In between, at s steps a prompt, ``d^(1/s)`` ranks are taken to act as one.

    Of k prompts in a step that would take m on each rank, the fullest rank has at least k / d in whole numbers, here
    ``1 + (k - 1) / d``, straight between the numbers from which on one rank has one more. The more unlike prompts are, the less
    often it is also the slowest: steps then grow evenly to full ones.

    Attributes
    ----------
    chunk_tokens, ranks: of every row (R,). together: prompts that a rank takes at once (R,).
    steps: of a mean prompt (R,). joined: ranks that act as one (R,).
    uneven: squared coefficient of variation of how long prompts take by themselves (R,).
    alone, packed, full: prompts by themselves, in steps that one rank has filled, and that all have.
    """

    mix: Mix
    chunk_tokens: Floats
    ranks: Floats
    together: Floats
    steps: Floats
    joined: Floats
    uneven: Floats
    alone: Prefill
    packed: Prefill
    full: Prefill

    @classmethod
    def of(cls, pool: Replicas, mix: Mix, together: Floats) -> RankGroup:
        """Price the prompts of a mix on replicas."""
        ranks = pool.work.dp
        alone = packed = full = Prefill.of(pool, mix, company=0.0)
        # Shares may add up to a little less than one, passes of a prompt do not.
        steps = np.maximum(alone.mean(np.maximum(alone.steps, 1)), 1.0)
        if np.any(ranks * together > 1):
            # What the other ranks have beside the slowest one, as a share of what it has.
            rank = Lockstep.of(alone, mix, pool.chunk_tokens, together)
            slowest, mean = rank.slowest(ranks).mean, rank.slowest(np.ones_like(ranks)).mean
            others = np.where(ranks > 1, (ranks * mean / slowest - 1) / np.maximum(ranks - 1, 1), 0.0)
            full = Prefill.of(pool, mix, company=others, prompts_per_step=together)
            if np.any(together > 1):
                packed = Prefill.of(pool, mix, company=0.0, prompts_per_step=together)
        mean, square = alone.mean(alone.occupied), alone.mean(alone.occupied**2)
        uneven = np.maximum(square / mean**2 - 1, 0.0)
        return cls(
            mix, pool.chunk_tokens, ranks, together, steps, ranks ** (1 / steps), uneven, alone, packed, full
        )

    def rows(self, index: Any) -> RankGroup:
        """Some of the rows, by index or mask."""
        names = ("chunk_tokens", "ranks", "together", "steps", "joined", "uneven")
        prompts = {name: getattr(self, name).rows(index) for name in ("alone", "packed", "full")}
        return replace(self, **{name: getattr(self, name)[index] for name in names}, **prompts)

    @property
    def batch(self) -> Floats:
        """Prompts that the ranks which act as one take at once (R,)."""
        return self.joined * self.together

    def beside(self, load: Floats) -> Floats:
        """Of the ranks that do not act as one with a prompt's, how many have prompts at a load (R,)."""
        return load * (self.ranks - self.joined)

    def filled(self, taken: Floats) -> Floats:
        """How near so many prompts are to all that the ranks which act as one take at once, from 0 for one to 1 (R,)."""
        return np.clip((taken - 1) / np.maximum(self.batch - 1, 1e-9), 0.0, 1.0)

    def active(self, taken: Floats) -> Floats:
        """Ranks of those which act as one that a step of so many prompts may wait for (R,)."""
        return 1 + (self.joined - 1) * self.filled(taken)

    def fullest(self, taken: Floats) -> Floats:
        """Prompts of so many, taken by the ranks which act as one, that the rank which is waited for has (R,)."""
        whole = np.minimum(1 + (taken - 1) / self.joined, self.together)
        even = 1 + (self.together - 1) * self.filled(taken)
        return even + (whole - even) / (1 + 2 * self.uneven)

    def left_behind(self, taken: Floats) -> Floats:
        """Steps that a prompt waits because its own rank is full while others are not, on average (R,).

        The router counts tokens, and those of the step under way leave with it. A rank's m places are all taken with the chance
        ``(k / d m)^m``.
        """
        full = (taken / self.batch) ** self.together
        return np.where(self.joined > 1, full * (LEFT_BEHIND + LEFT_BEHIND_BY_LENGTH * self.uneven / self.together), 0.0)

    def lockstep(self, taken: Floats, beside: Floats) -> Lockstep:
        """Steps of ranks that act as one and take so many prompts (R,), beside so many ranks that also have some (R,)."""
        fullest = self.fullest(taken)
        own = (fullest - 1) / np.maximum(self.together - 1, 1e-9)
        others = (taken + beside - fullest) / np.maximum((self.ranks - 1) * self.together, 1.0)
        prompts = self.alone.towards(self.packed, own).towards(self.full, others, begin=self.packed)
        return Lockstep.of(prompts, self.mix, self.chunk_tokens, 1 + (self.together - 1) * self.filled(taken))

    def service(self, steps: Lockstep, taken: Floats, beside: Floats) -> Moments:
        """How long so many prompts that are taken at once hold their ranks, by the steps that :meth:`lockstep` says."""
        ranks = self.active(taken) + beside
        apart = steps.prompts.moments(steps.beside(ranks - 1))
        return steps.slowest(ranks).times(self.steps).towards(apart, 1 - 1 / self.steps)

    def full_service(self) -> Moments:
        """How long prompts hold their ranks where all take as many as they can."""
        beside = self.ranks - self.joined
        return self.service(self.lockstep(self.batch, beside), self.batch, beside)


def _evened(prompts: Prefill, together: Floats) -> Floats:
    """How long prompts take whose lengths are means of so many (R,), from the shortest to the longest (R, C, N) [s].

    Means of m spread ``sqrt(m)`` times less, and are ``sqrt(m)`` times nearer to the shape of a normal distribution.
    """
    share = np.broadcast_to(prompts.share, prompts.occupied.shape)
    times, weights = _flat(prompts.occupied), _flat(share)
    order = np.argsort(times, axis=1)
    sorted_weights = np.take_along_axis(weights, order, axis=1)
    # Mean of a normal number between the quantiles that bound each share: density at one less density at the other.
    density = np.interp(np.cumsum(sorted_weights, axis=1), _PROBABILITIES, _DENSITIES)
    normal = np.empty_like(times)
    np.put_along_axis(normal, order, -np.diff(density, axis=1, prepend=0.0) / np.maximum(sorted_weights, 1e-12), axis=1)
    mean = (times * weights).sum(axis=1, keepdims=True)
    deviation = np.sqrt((((times - mean) ** 2) * weights).sum(axis=1, keepdims=True))
    normal *= deviation / np.maximum(np.sqrt((normal**2 * weights).sum(axis=1, keepdims=True)), 1e-12)
    less = 1 / np.sqrt(together)[:, None]
    evened = mean + less * (normal + less * (times - mean - normal))
    return np.asarray(evened.reshape(prompts.occupied.shape))


def _flat(steps: Floats) -> Floats:
    """All steps of a row beside each other (R, K)."""
    return steps.reshape(len(steps), -1)
