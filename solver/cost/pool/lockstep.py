"""Prefill ranks that step together: a step takes as long as its slowest rank, and who comes meanwhile waits for its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.prompts import Prefill
from solver.cost.pool.waiting import Moments
from solver.cost.steps.replicas import Replicas

Floats = NDArray[np.float64]


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
        together: prompts m that share every step (R,), whose lengths even out: their sum spreads sqrt(m) times as far as one.
        """
        mean = prompts.mean(prompts.occupied)[:, None, None]
        occupied = mean + (prompts.occupied - mean) / np.sqrt(together)[:, None, None]
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


@dataclass(frozen=True)
class RankGroup:
    """The ranks of a prefill replica, which take prompts and step together.

    Prompts of one step board and leave together: the ranks d act as one server. Those of many steps begin and end by
    themselves. In between, at s steps a prompt, ``d^(1/s)`` ranks are taken to act as one.

    Attributes
    ----------
    chunk_tokens, ranks: of every row (R,). together: prompts that a rank takes at once (R,).
    steps: of a mean prompt (R,). joined: ranks that act as one (R,).
    alone, full: prompts by themselves, and in steps that are full.
    """

    mix: Mix
    chunk_tokens: Floats
    ranks: Floats
    together: Floats
    steps: Floats
    joined: Floats
    alone: Prefill
    full: Prefill

    @classmethod
    def of(cls, pool: Replicas, mix: Mix, together: Floats) -> RankGroup:
        """Price the prompts of a mix on replicas."""
        ranks = pool.work.dp
        alone = full = Prefill.of(pool, mix, company=0.0)
        steps = alone.mean(np.maximum(alone.steps, 1))
        if np.any(ranks * together > 1):
            # What the other ranks have beside the slowest one, as a share of what it has.
            rank = Lockstep.of(alone, mix, pool.chunk_tokens, together)
            slowest, mean = rank.slowest(ranks).mean, rank.slowest(np.ones_like(ranks)).mean
            others = np.where(ranks > 1, (ranks * mean / slowest - 1) / np.maximum(ranks - 1, 1), 0.0)
            full = Prefill.of(pool, mix, company=others, prompts_per_step=together)
        return cls(mix, pool.chunk_tokens, ranks, together, steps, ranks ** (1 / steps), alone, full)

    @property
    def batch(self) -> Floats:
        """Prompts that the ranks which act as one take at once (R,)."""
        return self.joined * self.together

    def beside(self, load: Floats) -> Floats:
        """Of the ranks that do not act as one with a prompt's, how many have prompts at a load (R,)."""
        return load * (self.ranks - self.joined)

    def lockstep(self, taken: Floats, beside: Floats) -> Lockstep:
        """Steps of ranks that act as one and take so many prompts (R,), beside so many ranks that also have some (R,)."""
        fill = (taken - 1 + beside) / np.maximum(self.ranks * self.together - 1, 1.0)
        return Lockstep.of(
            self.alone.towards(self.full, fill), self.mix, self.chunk_tokens, np.maximum(taken / self.joined, 1.0)
        )

    def service(self, taken: Floats, beside: Floats) -> Moments:
        """How long so many prompts that are taken at once hold their ranks; parameters as :meth:`lockstep` has them."""
        steps, ranks = self.lockstep(taken, beside), np.minimum(taken, self.joined) + beside
        apart = steps.prompts.moments(steps.beside(ranks - 1))
        return steps.slowest(ranks).times(self.steps).towards(apart, 1 - 1 / self.steps)

    def full_service(self) -> Moments:
        """How long prompts hold their ranks where all take as many as they can."""
        return self.service(self.batch, self.ranks - self.joined)


def _flat(steps: Floats) -> Floats:
    """All steps of a row beside each other (R, K)."""
    return steps.reshape(len(steps), -1)
