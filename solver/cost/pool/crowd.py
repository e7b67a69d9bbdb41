"""The crowd: how far the running sequences of a rank swing, and what a request feels of it.

Seen in decode time (the clock stops while prompts are prefilled) arrivals come in clusters: the requests that came during a
stall, during theirs, and so on. A cluster joins the batch at once and slows everybody; slower steps keep everybody longer.

All functions take a row per candidate (R,), or a class more (R, C). Times in seconds, rates in 1/s.

Source: branching (Borel) clusters; shot noise; linear response of a birth and death process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.mix import Mix
from solver.cost.pool.queueing import normal_quantile
from solver.cost.pool.waiting import Moments
from solver.cost.steps.replicas import Replicas

Floats = NDArray[np.float64]

#: Steps that grow almost as their batch would let it swing without end: growth is taken as at most this.
MOST_GROWTH = 0.9
#: Stays over the time for which a crowd lasts that does not slow itself. Its average over one stay then has 2/3 of the variance
#: of an instant, as that of arrivals which stay a fixed time (triangular autocorrelation).
LASTS = 1.36
#: Where nothing is prefilled beside the running sequences.
NOTHING = Moments(np.zeros(1), np.zeros(1), np.zeros(1))


@dataclass(frozen=True)
class DecodePace:
    """Steps of replicas whose ranks run so many sequences on average.

    Attributes
    ----------
    felt: sequences on the fullest rank of a replica, which sets its pace: whole sequences cannot be levelled exactly (R,).
    step_s: between two tokens of a sequence (R,). growth: e where a step grows as batch^e (R,).
    """

    felt: Floats
    step_s: Floats
    growth: Floats

    @classmethod
    def of(cls, pool: Replicas, mix: Mix, batch: Floats) -> DecodePace:
        """Steps at a mean batch of each rank (R,), and their growth over one standard deviation of it."""
        felt = np.maximum(batch + 0.5 * (1 - 1 / pool.work.dp), 1.0)
        more = felt + np.maximum(np.sqrt(batch), 1.0)
        sizes = np.stack([felt, more])
        step, longer = pool.decode_s(sizes, mix.context)
        # A bound over all cuts may stand still where no cut does, and latencies would seem to fall there.
        one, further = (step, longer) if pool.work.floor is None else pool.decode_s(sizes, mix.context, bounded=False)
        growth = np.log(np.maximum(further / one, 1.0)) / np.log(more / felt)
        return cls(felt, step, np.clip(growth, 0.0, MOST_GROWTH))


@dataclass(frozen=True)
class Crowd:
    """The running sequences of a rank.

    Attributes
    ----------
    spread: squared coefficient of variation of as many independent ones, of which a step feels one at least (R,).
    ranks: that a router keeps level (R,).
    growth: e where a step grows as batch^e (R,).
    alike: mean of the shorter of two outputs over the mean output: how much of a cluster is there together.
    burstiness: squared coefficient of variation of the time between arrivals.
    slowed: time per token over the step, less 1 (R,). stall: what one prompt costs those that run.
    share: of a sequence's context that its own prompt makes, and so grows with the stall that it caused.
    """

    spread: Floats
    ranks: Floats
    growth: Floats
    alike: float
    burstiness: float
    slowed: Floats
    stall: Moments
    share: float

    @classmethod
    def of(
        cls, ranks: Floats, mix: Mix, batch: Floats, pace: DecodePace, tpot: Floats, stall: Moments = NOTHING
    ) -> Crowd:
        """The crowd of a pool of so many ranks, each with so many sequences on average.

        Parameters
        ----------
        tpot: mean time per token.
        """
        varied = float(mix.share @ (mix.output**2 * (1 + mix.output_cv2))) / mix.mean_output**2
        return cls(
            spread=batch / (pace.felt**2 * ranks),
            ranks=ranks,
            growth=pace.growth,
            # 1 less the Gini coefficient of a lognormal distribution.
            alike=1 - math.erf(math.sqrt(math.log(max(varied, 1.0))) / 2),
            burstiness=mix.burstiness,
            slowed=tpot / pace.step_s - 1,
            stall=stall,
            share=float(mix.mean(mix.prompt)) / mix.context,
        )

    @property
    def swings(self) -> Floats:
        """Variance of the batch over that of as many independent sequences (R,).

        Clusters bring 1 + slowed requests on average; a stall's own spread makes them vary further. A crowd that slows
        itself swings 1 / (1 - e) times as much.
        """
        return (1 + (self.burstiness * self._cluster(0.0) - 1) * self.alike) / (1 - self.growth)

    @property
    def longer(self) -> Floats:
        """Mean time per token over that of a batch which always has its mean (R,): steps grow, second order."""
        return 1 + self.growth * (1 - self.growth) * self.swings * self.spread

    def variance(self, output: Floats, output_cv2: Floats, tpot: Floats) -> Floats:
        """Squared coefficient of variation of the time per token over the requests of a class (R, C).

        Parameters
        ----------
        output, output_cv2: tokens of its requests (C,), and their squared coefficient of variation.
        tpot: mean time per token (R,).
        """
        again, one = 1 + self.slowed, 1 + self._uneven * self.share**2
        # The crowd's tokens (contexts are what a step reads): arrivals bring contexts in clusters, too.
        tokens = one + (self.burstiness * self._cluster(self.share) - one) * self.alike
        averaged = self._averaged
        crowd = self.growth**2 / (1 - self.growth) * averaged * tokens * self.spread
        # The stalls of its own stay, with those that came during them; short outputs meet few, and vary more.
        mean = (self.stall.mean / tpot)[:, None] * (1 + output_cv2) / output
        stalls = (self.burstiness * self.slowed * again * (1 + self._uneven))[:, None] * mean
        # Both at once: what stalls a request joins the crowd beside it.
        joined = again * (self.share + self.slowed) * self._uneven + again**2
        both = (self.burstiness * self.growth * averaged * joined / self.ranks)[:, None] * mean
        return np.asarray(crowd[:, None] + stalls + both)

    def _cluster(self, share: float) -> Floats:
        """E[T^2] / E[T] of a cluster's requests, or of their contexts where a share of these grows with the stall (R,)."""
        return (1 + self.slowed) ** 2 + self._uneven * (share + self.slowed) ** 2

    @property
    def _uneven(self) -> Floats:
        """Squared coefficient of variation of a stall (R,)."""
        return self.stall.square / np.maximum(self.stall.mean**2, 1e-300) - (self.stall.mean > 0)

    @property
    def _averaged(self) -> Floats:
        """Variance of the crowd averaged over a stay, over that of an instant (R,): a crowd that slows itself lasts longer."""
        stays = LASTS * (1 - self.growth)
        return 2 * (stays - 1 + np.exp(-stays)) / stays**2


def lognormal_statistic(mean: Floats, variance: Floats, share: float | None) -> Floats:
    """Quantile of a lognormal distribution by its mean and squared coefficient of variation; its mean for None.

    >>> float(lognormal_statistic(np.array(1.0), np.array(0.0), 0.95))
    1.0
    """
    if share is None:
        return np.broadcast_to(mean, np.broadcast_shapes(np.shape(mean), np.shape(variance)))
    sigma = np.sqrt(np.log1p(variance))
    return np.asarray(mean * np.exp(normal_quantile(share) * sigma - sigma**2 / 2))
