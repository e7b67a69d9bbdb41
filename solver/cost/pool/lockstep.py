"""Ranks that step together: a step takes as long as its slowest rank needs, and who comes meanwhile waits for its end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.prompts import Prefill
from solver.cost.pool.waiting import Moments

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lockstep:
    """The steps of one rank's prompts, as the other ranks of its group meet them.

    With F(t) the share of a rank's steps that take at most t, the slowest of k ranks takes at most t in F(t)^k of the steps,
    also for a mean number of ranks k that is not whole.

    Attributes
    ----------
    times: distinct steps, shortest first (R, K) [s]. within: F of each (R, K).
    steps: of every class and length (R, C, N, 2) [s]: a full chunk, and the rest. counts: how many of each a prompt has.
    prompts: whose steps these are.
    """

    times: Floats
    within: Floats
    steps: Floats
    counts: Floats
    prompts: Prefill

    @classmethod
    def of(cls, prompts: Prefill, mix: Mix, chunk_tokens: Floats, together: Floats) -> Lockstep:
        """Of prompts as priced; a chunk takes its part of a prompt's time by its tokens.

        Parameters
        ----------
        together: prompts m in every step, whose lengths even out: their sum spreads sqrt(m) times as much as one.
        """
        mean = prompts.mean(prompts.occupied)[:, None, None]
        occupied = mean + (prompts.occupied - mean) / np.sqrt(together)[:, None, None]
        chunk = chunk_tokens[:, None, None]
        whole = np.floor(mix.prompts / chunk)
        rest = mix.prompts - whole * chunk
        counts = np.stack([whole, np.broadcast_to(rest > 0, whole.shape)], axis=-1)
        steps = np.stack([occupied * np.minimum(chunk / mix.prompts, 1.0), occupied * rest / mix.prompts], axis=-1)
        share = (prompts.share[..., None] * counts).reshape(len(whole), -1)
        flat = steps.reshape(len(whole), -1)
        order = np.argsort(flat, axis=1)
        within = np.cumsum(np.take_along_axis(share, order, axis=1), axis=1)
        return cls(np.take_along_axis(flat, order, axis=1), within / within[:, -1:], steps, counts, prompts)

    def slowest(self, ranks: Floats) -> Moments:
        """Of the slowest step of so many ranks (R,)."""
        chance = np.diff(self.within ** ranks[:, None], axis=1, prepend=0.0)
        return Moments(*((self.times**power * chance).sum(axis=1) for power in (1, 2, 3)))

    def beside(self, others: Floats) -> Floats:
        """How long prompts take the ranks' time beside so many other ranks with prompts, on average (R, C, N) [s].

        ``E max(t, M) = t + integral over s > t of P(M > s)``, with M the slowest of the others.
        """
        late = 1 - self.within ** others[:, None]
        # Integral of P(M > s) from every step's time on.
        parts = np.diff(self.times, axis=1) * late[:, :-1]
        beyond = np.concatenate([np.cumsum(parts[:, ::-1], axis=1)[:, ::-1], np.zeros((len(late), 1))], axis=1)
        flat = self.steps.reshape(len(late), -1)
        place = np.argsort(np.argsort(flat, axis=1), axis=1)
        longer = np.take_along_axis(beyond, place, axis=1).reshape(self.steps.shape)
        return np.asarray(((self.steps + longer) * self.counts).sum(axis=-1))

    def ordered(self, others: Floats) -> Floats:
        """As :meth:`beside`, but with the spread that the others bring: of prompts of one step the mean over as many of the
        fastest as are shorter (R, C, N) [s].
        """
        rows, (classes, lengths) = len(self.times), self.counts.shape[1:3]
        weights = self.prompts.share / self.prompts.share.sum(axis=1, keepdims=True)
        single = (self.counts[..., 0] == 0)
        flat = self.steps.reshape(rows, -1)
        order = np.argsort(flat, axis=1)
        mass = np.stack([np.zeros_like(self.counts[..., 1]), weights * single], axis=-1)
        edges = np.concatenate([np.zeros((classes, 1)), np.cumsum(weights, axis=1)], axis=1)
        found = np.empty((rows, classes, lengths))
        power = self.within ** others[:, None]
        for number in range(classes):
            own = np.zeros_like(mass)
            own[:, number] = mass[:, number]
            level = np.cumsum(np.take_along_axis(own.reshape(rows, -1), order, axis=1), axis=1) * power
            parts = np.clip(level[:, None, :], edges[number, :-1, None], edges[number, 1:, None])
            parts = np.diff(parts, axis=2, prepend=edges[number, :-1][None, :, None] + np.zeros((rows, 1, 1)))
            found[:, number] = (parts * self.times[:, None, :]).sum(axis=2) / weights[number]
        return np.where(single, found, self.beside(others))
