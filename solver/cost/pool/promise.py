"""What pools must keep: limits on latencies, and the part of them that falls to pools of one role."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.latency import Statistics
from solver.workload import SLO
from solver.workload.measures import MEASURES, Measure, Quantity

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Promise:
    """Limits by measure [s], each one for all or one for each class (classes,); infinite where nothing was promised.

    >>> Promise.of([SLO(ttft_p99_s=2.0), SLO()]).limits
    {Measure(quantity='ttft', statistic='p99'): array([ 2., inf])}
    """

    limits: Mapping[Measure, Floats | float] = field(default_factory=dict)

    @classmethod
    def of(cls, slos: Sequence[SLO]) -> Promise:
        """The promises of some classes."""
        made = {measure for slo in slos for measure, _ in slo.promised}
        limits = {m: np.array([slo.limit(m) or math.inf for slo in slos]) for m in MEASURES if m in made}
        return cls(limits)

    def about(self, quantity: Quantity) -> dict[Measure, Floats | float]:
        """Limits on one latency."""
        return {measure: limit for measure, limit in self.limits.items() if measure.quantity == quantity}

    def parted(self) -> tuple[Promise, Promise]:
        """Limits on tails and means, which a pool of more replicas keeps the more easily, and those on medians, which it may
        not: the less latencies vary, the nearer medians come to the mean."""
        medians = {m: limit for m, limit in self.limits.items() if m.share is not None and not m.tail}
        return Promise({m: limit for m, limit in self.limits.items() if m not in medians}), Promise(medians)

    @property
    def end_to_end(self) -> bool:
        """Whether anything was promised about the time to the last token."""
        return bool(self.about("e2e"))

    def first(self, share: float) -> Promise:
        """What falls to the pools that prefill, where first tokens may take a share of each end-to-end limit."""
        return Promise(self._less("ttft", lambda _: share))

    def later(self, share: float, later_tokens: Statistics) -> Promise:
        """What falls to the pools that decode, with that share gone.

        Parameters
        ----------
        later_tokens: of an answer after the first (classes,).
        """
        return Promise(self._less("tpot", lambda of: (1 - share) / np.maximum(later_tokens(of), 1.0)) | self.about("itl"))

    def _less(
        self, quantity: Quantity, part: Callable[[float | None], Floats | float]
    ) -> dict[Measure, Floats | float]:
        """Limits on a latency of which so much takes the end-to-end limit on the same statistic."""
        whole = {m.of(quantity): part(m.share) * np.asarray(limit) for m, limit in self.about("e2e").items()}
        own = self.about(quantity)
        return {m: np.minimum(own.get(m, np.inf), whole.get(m, np.inf)) for m in MEASURES if m in own or m in whole}
