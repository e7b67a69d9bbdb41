"""How long requests take: statistics of their latencies, worked out when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solver.workload.measures import Measure

Floats = NDArray[np.float64]

#: A quantity, such as one latency (R, C) [s], by the share of the requests that do not exceed it; None asks for the mean.
Statistics = Callable[[float | None], Floats]


@dataclass(frozen=True)
class RequestLatency:
    """Latencies of the requests of an operating point, by row and entry of the mix (R, C) [s].

    Attributes
    ----------
    first, later, gap: time to first token, a request's mean time per later token, a single gap between two tokens; 0 where
        the role has no part in them.
    later_tokens: of an answer after the first (C,).
    """

    first: Statistics
    later: Statistics
    gap: Statistics
    later_tokens: Statistics
    _known: dict[Measure, Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, measure: Measure) -> Floats:
        """One measure."""
        if measure not in self._known:
            self._known[measure] = self._found(measure)
        return self._known[measure]

    def _found(self, measure: Measure) -> Floats:
        if measure.quantity == "e2e":
            return end_to_end(self(measure.of("ttft")), self(measure.of("tpot")), self.later_tokens(measure.share))
        of = {"ttft": self.first, "tpot": self.later, "itl": self.gap}[measure.quantity]
        return np.asarray(of(measure.share))

    def stretched(self, time: Floats, first: Floats) -> RequestLatency:
        """The same where everything takes so many times as long, and first tokens so many times as long again (R,)."""
        longer, firsts = time[:, None], (time * first)[:, None]
        return RequestLatency(
            lambda share: self.first(share) * firsts,
            lambda share: self.later(share) * longer,
            lambda share: self.gap(share) * longer,
            self.later_tokens,
        )


def end_to_end(first: Floats, later: Floats, later_tokens: Floats | float) -> Floats:
    """From arrival to the last token, by a statistic of each of its parts: exact for means; at a tail percentile all of them
    are taken to be that slow, and the answer that long, at once, which is an upper reading of the sum's."""
    return np.asarray(first + later_tokens * later)


def nothing(rows: int, entries: int) -> Statistics:
    """Of a role without a part in a latency."""
    zero = np.zeros((rows, entries))
    return lambda share: zero
