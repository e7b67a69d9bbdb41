"""Prompts of unified pools: prefilled in chunks beside running sequences, by themselves or packed with others.

A prompt that finds its rank idle takes whole rounds, however little its last one carries. In a queue, chunks are filled up with
the next prompt's tokens: each takes only its part of a round, and less of it hides behind the step that runs anyway.

Arrays are (R, C, N): candidates, classes, lengths; times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.prompts import Prefill
from solver.cost.pool.waiting import Moments
from solver.cost.steps.replicas import Replicas

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Chunks:
    """What prompts take and cost, at one share of company from the other data-parallel ranks.

    Attributes
    ----------
    alone, packed: prompts that have their chunks to themselves, and that share them all.
    beside: what one pass of the running sequences would have taken without them; 0 where these wait (R, 1, 1).
    charged: what a prompt costs the others over what it takes beyond that (R, 1, 1).
    mixed: 1 where running sequences get a token out of every pass, 0 where they wait for the last one (R, 1, 1).
    """

    alone: Prefill
    packed: Prefill
    beside: Floats
    charged: Floats
    mixed: Floats

    @cached_property
    def gaps(self) -> Floats:
        """Gaps between the others' tokens that a prompt by itself lies in."""
        return np.maximum(self.mixed * self.alone.steps, 1.0)

    @cached_property
    def stall(self) -> Floats:
        """What a prompt by itself costs those that run."""
        return self._stall(self.alone)

    @cached_property
    def shared_stall(self) -> Floats:
        """What a prompt costs those that run in chunks that others share."""
        return self._stall(self.packed)

    def _stall(self, prefill: Prefill) -> Floats:
        return self.charged * np.maximum(prefill.occupied - prefill.steps * self.beside, 0.0)

    def mean_stall(self, shared: Floats) -> Floats:
        """Over prompts of which some share chunks (R,)."""
        return self.alone.mean(self.stall + shared[:, None, None] * (self.shared_stall - self.stall))

    def longest(self, rare: Floats, taken: Floats, together: Floats) -> Floats:
        """A gap with a prompt that is not exceeded but by a share of them (R,): with a long prompt in it, or with several.

        Parameters
        ----------
        rare: that share, at most 1 (R,).
        taken: prompts in a gap, a geometric number (R,). together: most of them.
        """
        alone = self.alone
        steps = self.gaps
        one, weight = (alone.occupied / steps).reshape(len(rare), -1), (alone.share * steps).reshape(len(rare), -1)
        order = np.argsort(one, axis=1)
        sorted_, weight = np.take_along_axis(one, order, axis=1), np.take_along_axis(weight, order, axis=1)
        below = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
        place = np.minimum((below < 1 - rare[:, None] - 1e-9).sum(axis=1), one.shape[1] - 1)
        longest = sorted_[np.arange(len(rare)), place]
        # P(more than j) = (1 - 1 / taken)^j.
        others = np.floor(np.log(rare) / np.log(np.clip(1 - 1 / taken, 1e-12, 1 - 1e-12)))
        usual = (sorted_ * weight).sum(axis=1) / weight.sum(axis=1)
        several = usual + np.clip(others, 0.0, np.maximum(together - 1, 0.0)) * alone.mean(self.shared_stall)
        return np.asarray(np.maximum(longest, several))

    def lone(self, step: Floats, passes: Floats) -> Moments:
        """Time of a prompt that takes whole steps of so long, with room for so many of its passes each (R,)."""
        steps = np.ceil(self.alone.steps / passes[:, None, None])
        return self.alone.moments(self.stall + step[:, None, None] * steps)

    def queued(self, step: Floats, passes: Floats) -> Moments:
        """Time of a prompt that takes its part of them (R,)."""
        return self.alone.moments(self.shared_stall + (step / passes)[:, None, None] * self.packed.steps)

    def latency(self, queued: Floats, arrivals: Floats, wait: Floats) -> Floats:
        """From its first pass to its first token, or from where the prompt before it ends.

        Parameters
        ----------
        queued: how often it queues behind others, with whom it shares its chunks (R,).
        arrivals: at the rank [1/s] (R,). wait: of those that queue (R,).
        """
        alone, packed = self.alone, self.packed
        # Prompts that come before its last pass fill that up: as many as there is room for, half a pass in a queue.
        coming = (arrivals * alone.mean(self.shared_stall))[:, None, None]
        pass_s = (alone.mean(self.shared_stall) / alone.mean(packed.steps))[:, None, None]
        # All passes but the last take as long as everybody's step.
        early = 1 - 1 / alone.steps
        ahead = early * (self.stall + alone.steps * self.beside)
        behind = np.minimum(coming * ahead, (alone.steps - packed.steps) * pass_s)
        by_itself = alone.latency - early * alone.occupied + ahead + behind
        behind = np.minimum(coming * (wait[:, None, None] + ahead), pass_s / 2)
        rounds = np.maximum(packed.steps + 0.5, 1.0) * self.beside
        in_queue = packed.latency - packed.occupied + self.shared_stall + rounds + behind
        return by_itself + queued[:, None, None] * (in_queue - by_itself)


@dataclass(frozen=True)
class ChunkedPrompts:
    """Prompts beside a batch, without and with the company of all other data-parallel ranks.

    Attributes
    ----------
    alone, packed, crowded, crowded_packed: as :class:`Chunks` has them, without and with company.
    """

    alone: Prefill
    packed: Prefill
    crowded: Prefill
    crowded_packed: Prefill
    beside: Floats
    charged: Floats
    mixed: Floats

    @classmethod
    def of(cls, pool: Replicas, mix: Mix, felt: Floats, step: Floats) -> ChunkedPrompts:
        """Price them beside ``felt`` sequences, whose steps take ``step`` (R,)."""
        alone, packed = (Prefill.of(pool, mix, felt, company=0.0, packed=packed) for packed in (False, True))
        crowded, crowded_packed = alone, packed
        if np.any(pool.work.dp > 1):
            crowded, crowded_packed = (Prefill.of(pool, mix, felt, company=1.0, packed=packed) for packed in (False, True))
        beside = pool.hidden_s(step)[:, None, None]
        charged, mixed = pool.speeds.prefill_share[:, None, None], pool.mixed[:, None, None]
        return cls(alone, packed, crowded, crowded_packed, beside, charged, mixed)

    def at(self, company: Floats) -> Chunks:
        """With so much of the others' company (R,)."""
        alone, packed = self.alone.towards(self.crowded, company), self.packed.towards(self.crowded_packed, company)
        return Chunks(alone, packed, self.beside, self.charged, self.mixed)
