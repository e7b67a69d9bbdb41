"""The requests one pool serves: classes in fixed proportion, as arrays over classes (C,)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from solver.workload import RequestClass
from solver.workload.lengths import Lengths

Floats = NDArray[np.float64]

#: Shares of a class's requests by length, shortest first; 5 % are longer than the middle of the last but two.
WEIGHTS = np.array([0.15, 0.15, 0.15, 0.1, 0.15, 0.1, 0.08, 0.06, 0.02, 0.03, 0.01])


@dataclass(frozen=True)
class Mix:
    """Classes in fixed proportion.

    Attributes
    ----------
    share: share of the requests (C,), adds up to 1.
    prompt: prompt tokens to compute (C,), without those found in a cache.
    cached: prompt tokens found in a cache (C,); prefix: those of them that every prompt begins with, however long.
    output: output tokens (C,).
    spread: how its prompts' lengths are distributed, over their mean (C,).
    classes: whose requests they are (C,).
    prompt_cv2, output_cv2: squared coefficients of variation of the lengths inside a class (C,).
    burstiness: squared coefficient of variation of the time between arrivals.
    member, is_hit: the class that each entry belongs to, and whether it is of requests that find their session's history
        (C,); an entry a class where no idle KV is kept.
    idle_token_s: idle KV in HBM that a request leaves behind, times how long it waits there [tokens s].
    resident_tokens: shared prefixes that every cache holds [tokens].
    """

    share: Floats
    prompt: Floats
    cached: Floats
    prefix: Floats
    output: Floats
    spread: tuple[Lengths, ...]
    classes: tuple[RequestClass, ...]
    prompt_cv2: Floats
    output_cv2: Floats
    burstiness: float
    member: tuple[int, ...] = ()
    is_hit: tuple[bool, ...] = ()
    idle_token_s: float = 0.0
    resident_tokens: float = 0.0

    @classmethod
    def of(cls, classes: Sequence[RequestClass], finds: Sequence[Sequence[tuple[float, float]]] | None = None) -> Mix:
        """The mix of some classes by their arrival rates.

        Parameters
        ----------
        finds: by class, (share of its requests, prompt tokens that these find in a cache): misses first; nothing found
            where not given.
        """
        # A class becomes an entry for each part of its requests that finds the same in a cache.
        rate = np.array([c.requests_per_s for c in classes])
        parts = [[(1.0, 0.0)]] * len(classes) if finds is None else finds
        member = tuple(number for number, part in enumerate(parts) for _ in part)
        weight, found = (np.array([pair[i] for part in parts for pair in part]) for i in (0, 1))
        prefix = np.array([part[0][1] for part in parts for _ in part])
        of = [classes[number] for number in member]
        return cls(
            share=rate[list(member)] / rate.sum() * weight,
            prompt=np.maximum(np.array([c.prompt_tokens for c in of], float) - found, 1.0),
            cached=found,
            prefix=prefix,
            output=np.array([c.output_tokens for c in of], float),
            spread=tuple(c.prompt_lengths for c in of),
            classes=tuple(of),
            prompt_cv2=np.array([c.prompt_cv for c in of], float) ** 2,
            output_cv2=np.array([c.output_cv for c in of], float) ** 2,
            burstiness=float(np.dot(rate, [c.burstiness for c in classes]) / rate.sum()),
            member=member,
            is_hit=tuple(place > 0 for part in parts for place in range(len(part))),
        )

    @property
    def keeps(self) -> bool:
        """Whether any idle KV waits in HBM, or any request finds some."""
        return any(self.is_hit) or self.idle_token_s > 0 or self.resident_tokens > 0

    def idle_sequences(self, requests_per_s: Floats, ranks: Floats) -> Floats:
        """Idle KV in HBM on a rank, as so many running sequences (R,).

        Parameters
        ----------
        requests_per_s: of one replica, which divides them over ``ranks`` caches (R,).
        """
        tokens = requests_per_s * self.idle_token_s / ranks + self.resident_tokens
        return np.asarray(tokens / self.context)

    def mean(self, values: Floats) -> Floats:
        """Mean over requests of a quantity per class (..., C)."""
        return np.asarray(values) @ self.share

    @cached_property
    def weights(self) -> Floats:
        """Shares of the requests of every class by length (N,), one where each class's prompts are all alike."""
        return WEIGHTS if any(one.sigma for one in self.spread) else np.ones(1)

    @cached_property
    def lengths(self) -> Floats:
        """Mean prompt of every share of lengths over the mean of all (C, N)."""
        edges = np.r_[0.0, np.minimum(np.cumsum(self.weights), 1.0)]
        return np.array([[one.mean_between(*edge) for edge in pairwise(edges.tolist())] for one in self.spread])

    @cached_property
    def prompts(self) -> Floats:
        """Prompt tokens to compute at every length (C, N): a session's history is as long as its prompt, a prefix is not."""
        fixed = self.prefix[:, None]
        return np.maximum((self.prompt[:, None] + fixed) * self.lengths - fixed, 1.0)

    @property
    def mean_square_prompt(self) -> float:
        """Mean square of the prompt tokens to compute [tokens^2]."""
        return float(self.share @ (self.prompts**2 @ self.weights))

    @property
    def longest_prompt(self) -> float:
        """Most prompt tokens that any request computes."""
        most = np.array([one.most for one in self.spread])
        return float(np.max((self.prompt + self.prefix) * most - self.prefix))

    def later_tokens(self, share: float | None) -> Floats:
        """Output tokens after the first that a share of the requests does not exceed; their mean for None (C,)."""
        return np.array([one.later_tokens(share) for one in self.classes])

    @property
    def mean_output(self) -> float:
        """Output tokens of a request."""
        return float(self.share @ self.output)

    @property
    def resident(self) -> Floats:
        """Share of the sequences in a decode batch that belong to each class: those with long outputs stay longer (C,)."""
        stay: Floats = self.share * self.output
        return stay / float(stay.sum())

    @property
    def context(self) -> float:
        """Mean context of the sequences in a decode batch: prompt and half of the output [tokens]."""
        return float(self.resident @ (self.prompt + self.cached + self._age))

    def held(self, kept: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the room of the sequences in a decode batch (R,) [tokens].

        Prompts vary between and within classes. A sequence has made U of its output, evenly from 0 to 1, and a share s of the
        rest is kept for it: ``s + (1 - s) U`` of it, whose mean square is ``(1 + s + s^2) / 3``.

        Parameters
        ----------
        kept: that share (R,); 0 = its context.
        """
        share = np.asarray(kept, float)[:, None]
        whole, part = self.prompt + self.cached, (1 + share) / 2
        mean = whole + 2 * part * self._age
        square = (1 + share + share**2) / 3
        within = self.prompt_cv2 * whole**2 + self.output**2 * ((1 + self.output_cv2) * square - part**2)
        between = mean**2 @ self.resident - (mean @ self.resident) ** 2
        return mean @ self.resident, np.sqrt(np.maximum(within @ self.resident + between, 0.0))

    @property
    def _age(self) -> Floats:
        """Mean tokens generated so far by a sequence met in the batch, length-biased (C,)."""
        return self.output * (1 + self.output_cv2) / 2
