"""Waiting: how long a request queues where routers send it on at once, arrivals come in bursts, and batches form.

All functions take a row per candidate (R,). Times in seconds, rates in 1/s.

Source: Pollaczek and Khinchine; Takacs; Allen and Cunneen; Hayward; what is fitted to simulated queues says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.queueing import erlang_c
from solver.cost.pool.roots import Rows, crossing_between

Floats = NDArray[np.float64]

#: Services that are all alike leave fewer to wait than Erlang C says: its power grows by this for every doubling of the
#: servers, fitted to simulated queues.
EVEN = 0.08
#: The others in a batch vary freely until it is full but for one part in so many, and less and less from there on.
#: Chosen so that waits are continuous; 2 and 4 met the simulated queues alike.
UNFILLED = 4.0
#: Most evaluations for the number taken at once, and how well, as a ratio less 1, it need be known.
_ROUNDS, _CLOSE = 12, 1e-7
#: Newton's steps for the tail of a queue.
_NEWTON = 12
#: Exponents of Weibull distributions, with the mean and the squared coefficient of variation for scale 1.
_SHAPES = np.geomspace(0.2, 20, 200)[::-1]
_UNITS = np.array([math.gamma(1 + 1 / k) for k in _SHAPES])
_VARIATIONS = np.array([math.gamma(1 + 2 / k) for k in _SHAPES]) / _UNITS**2 - 1


@dataclass(frozen=True)
class Moments:
    """First three moments of the time that a request takes a server (R,) [s], [s^2], [s^3]."""

    mean: Floats
    square: Floats
    cube: Floats

    def rows(self, index: Any) -> Moments:
        """Some of the rows, by index or mask."""
        return Moments(self.mean[index], self.square[index], self.cube[index])

    def times(self, factor: Floats) -> Moments:
        """Of a multiple."""
        return Moments(self.mean * factor, self.square * factor**2, self.cube * factor**3)

    def towards(self, other: Moments, part: Floats) -> Moments:
        """Of a mixture in which a part is of another."""
        return Moments(
            self.mean + part * (other.mean - self.mean),
            self.square + part * (other.square - self.square),
            self.cube + part * (other.cube - self.cube),
        )


@dataclass(frozen=True)
class Wait:
    """How long a request waits until it boards: a mixture of three cases (R,).

    With probability ``chance`` all servers are taken, and the wait is Weibull distributed. Else, with probability
    ``boards``, a step is under way that it cannot board, and the wait is uniform over that step. Else there is none.

    Attributes
    ----------
    scale: of the Weibull distribution [s]; infinite where the load is 1 or more. shape: its exponent.
    step: duration of the step [s].
    """

    chance: Floats
    scale: Floats
    shape: Floats
    boards: Floats
    step: Floats

    def beyond(self, time: Floats) -> Floats:
        """Probability of waiting longer than ``time`` (R, ...) [s]; 1 before 0."""
        lift = (slice(None), *(None,) * (time.ndim - 1))
        ahead = np.maximum(time, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            queued = np.where(
                np.isinf(self.scale)[lift], 1.0, np.exp(-((ahead / self.scale[lift]) ** self.shape[lift]))
            )
            aboard = np.clip(1 - ahead / self.step[lift], 0.0, 1.0)
        free = np.where(self.step[lift] > 0, self.boards[lift] * aboard, 0.0)
        late: Floats = self.chance[lift] * queued + (1 - self.chance[lift]) * free
        return np.where(time < 0, 1.0, late)

    @property
    def mean(self) -> Floats:
        """The wait on average (R,) [s]."""
        unit = np.interp(self.shape, _SHAPES[::-1], _UNITS[::-1])
        return np.asarray(self.chance * self.scale * unit + (1 - self.chance) * self.boards * self.step / 2)

    def quantile(self, probability: float) -> Floats:
        """The wait that a share ``probability`` of the requests does not exceed (R,) [s]."""
        late = 1 - probability
        with np.errstate(divide="ignore"):
            queued = self.scale * np.log(np.maximum(self.chance / late, 1.0)) ** (1 / self.shape)
        boarding = (self.boards > 0) & (queued < self.step) & (self.chance + (1 - self.chance) * self.boards > late)
        some = np.flatnonzero(boarding)
        if len(some):
            part = Wait(*(getattr(self, field.name)[some] for field in fields(self)))
            queued[some] = crossing(part.beyond, np.zeros(len(some)), np.maximum(queued, self.step)[some], late)
        return np.asarray(queued)


def crossing(tail: Callable[[Floats], Floats], low: Floats, high: Floats, late: float, rounds: int = 14) -> Floats:
    """Where a tail probability falls to ``late`` between two times, by bisection; infinite where the times are."""
    finite = np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    for _ in range(rounds):
        middle = (low + high) / 2
        more = tail(middle) > late
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.where(finite, high, np.inf)


@dataclass(frozen=True)
class Gathered:
    """How many requests servers take at once when each takes all that wait, at most so many (R,).

    Attributes
    ----------
    taken: requests taken at once, on average over services.
    busy: share of the time that a server is busy.
    service: of as many as are taken.
    longer, varied: mean and variance of how much longer a request that has waited takes, for those that it is taken
        with [s], [s^2]. burst: by how much more where arrivals come in bursts [s].
    full: how near batches are to the most that are taken at once, from 0 to 1.
    """

    taken: Floats
    busy: Floats
    service: Moments
    longer: Floats
    varied: Floats
    burst: Floats
    full: Floats


def clump(meanwhile: Floats, burstiness: float) -> Floats:
    """Further requests that come with one in a burst: (v - 1) / 2 in all, as far as they come in a time (R,).

    Parameters
    ----------
    meanwhile: requests that usually come in that time.
    """
    return (burstiness - 1) / 2 * meanwhile / (1 + meanwhile)


def gather(
    arrivals: Floats,
    servers: Floats,
    *,
    alone: Moments,
    more: Floats,
    other: Moments,
    together: Floats,
    burstiness: float = 1.0,
    counted: bool = False,
    near: Floats | None = None,
) -> Gathered:
    """Batches that form by themselves: what came during a service is taken in the next one.

    Parameters
    ----------
    arrivals: per server [1/s]. servers: behind one router, which sends a request to a busy one only if all are.
    alone: service of one request. more: by how much each further one lengthens it, on average [s].
    other: by how much each further one delays the others' results.
    together: most that are taken at once; between 1 and 2, how often two are.
    counted: whether servers count requests, so that never more are taken; else it is the most of mean size.
    near: about how many are taken, where that is known.

    The number taken is a branching process with immigration: those that come during a service are Poisson given its
    length, which grows with the number it took.
    """
    # Between 1 and 2 ``together`` says how often two are taken; above, the most that are.
    several = np.clip(together - 1, 0.0, 1.0)
    most = np.maximum(together, 1.0)
    # The router sends a request to a busy server only if all are: the exponent of Sakasegawa's approximation of that
    # chance, sqrt(2 (c + 1)) - 1, less the factor rho that a busy server has anyway.
    exponent = np.sqrt(2 * (servers + 1)) - 2

    def next_batch(taken: Floats) -> tuple[Floats, Floats, Floats]:
        """Mean of the batch that follows batches of a size, its variance, and arrivals at a busy server."""
        service = alone.mean + (taken - 1) * more
        # Share of the time that a server is busy: arrivals are served ``taken`` at a time.
        busy = np.clip(arrivals * service / taken, 1e-9, 1.0)
        # Arrivals at a busy server, and the growth of a batch by what came while one request more was served.
        met = arrivals * busy**exponent
        growth = np.minimum(met * more, 0.99)
        came = met * service
        # Its variance, at most that of a number between 1 and ``most`` with this mean (Bhatia and Davis).
        widest = (taken - 1) * (most - taken) * min(burstiness / 2, 1.0)
        varied = several * np.minimum(came * burstiness / (1 - growth**2) / servers, widest)
        # Those that came are Poisson given the service, whose length varies with the batch: a negative binomial number,
        # which is 0 with this probability; the next service then has the one that comes next.
        uneven = np.maximum(growth**2 * varied / np.maximum(came, 1e-9) ** 2, 1e-6)
        none = (1 + came * uneven) ** (-1 / uneven)
        # Mean of the stationary batch: immigrants (came beside the first, or one where none came) over 1 - growth.
        found = (met * np.maximum(alone.mean - more, 0.0) + none) / (1 - growth)
        return 1 + several * (np.clip(found, 1.0, most) - 1), varied, met

    # Larger batches leave fewer to come: one size is followed by its own.
    def grows(size: Floats) -> Floats:
        return np.asarray(np.log(next_batch(np.exp(size))[0]) - size)

    largest = np.log(most) + np.zeros_like(arrivals)
    sizes = np.zeros_like(arrivals) if near is None else np.minimum(np.log(near), largest)

    def asked(rows: Rows, size: Floats) -> Floats:
        sizes[rows] = size
        return grows(sizes)[rows]

    # It is no further away than a batch grows that is followed by another, but for how unlike batches are.
    one, at_one = sizes.copy(), grows(sizes)
    far = np.clip(one + at_one, 0.0, largest)
    at_far = grows(far)
    apart = at_one * at_far > 0
    if apart.any():
        one, far = np.where(apart, 0.0, one), np.where(apart, largest, far)
        at_one, at_far = np.where(apart, grows(one), at_one), np.where(apart, grows(far), at_far)
    taken = np.exp(crossing_between(asked, one, far, at_one, at_far, evaluations=_ROUNDS, width=_CLOSE))
    _, varied, met = next_batch(taken)
    mean = alone.mean + (taken - 1) * more
    busy = np.clip(arrivals * mean / taken, 0.0, 1.0)
    # Second moment: of the batch's mean length, of one request's own spread, and of the number taken.
    square = mean**2 + (alone.square - alone.mean**2) + more**2 * varied
    swing = square / mean**2 - 1
    # Third moment as a lognormal's of the same first two, and no less than one request has alone.
    cube = np.maximum(mean**3 * (1 + swing) * (1 + 2 * swing), alone.cube)
    burst = clump(met * mean * servers, burstiness) / servers
    # A request finds itself in a long service more often than in a short one (length bias): E[S^2] / E[S].
    others = np.clip(met * square / mean, 0.0, most - 1)
    # How much longer varies less and less as batches fill up: full ones have no more to vary.
    unfilled = 1 - others / np.maximum(most - 1, 1e-9)
    spread = np.maximum(cube / mean - (square / mean) ** 2, 0.0) * np.clip(UNFILLED * unfilled, 0.0, 1.0)
    varies = others * other.square + spread * met * other.mean * (1 + met * other.mean)
    if counted:
        # Their number lies between 0 and one less than the most (Bhatia and Davis).
        apart = np.maximum(other.square - other.mean**2, 0.0)
        varies = np.minimum(varies, others * (apart + (most - 1 - others) * other.mean**2))
    return Gathered(
        taken=taken,
        busy=busy,
        service=Moments(mean, square, cube),
        longer=others * other.mean,
        varied=varies,
        burst=np.clip(burst, -others, most - 1 - others) * other.mean,
        full=1 - several + several * (taken - 1) / np.maximum(most - 1, 1.0),
    )


def wait(
    servers: Floats,
    load: Floats,
    gathered: Gathered,
    *,
    burstiness: float = 1.0,
    together: Floats | float = 1.0,
    step: Floats | float = 0.0,
    boards: Floats | float = 0.0,
    reserved: Floats | float = 0.0,
    full: Floats | float = np.nan,
) -> Wait:
    """Wait for a pool of servers whose router sends each request at once to the least loaded, and cannot take it back.

    All servers are taken with the chance of :func:`all_taken`, less where services are alike. Who finds them so waits for
    the rest of a service, E[S^2] / 2 E[S], and for whole ones if all have as many requests waiting as they take together,
    whose chance is taken as rho^(c together), less where batches are small: for one server that takes one at a time this
    is Pollaczek and Khinchine's wait, with its second moment by Takacs. Arrivals of squared coefficient of variation v
    add (v - 1) E[S] / (2 c (1 - rho)) (Allen and Cunneen) and make more requests wait.

    Parameters
    ----------
    servers: servers c (R,).
    load: what arrives over the most that can be served, rho.
    together: requests that a server takes at most.
    step, boards: as :class:`Wait` has them.
    reserved: time for which a request already counts where the router sent it before it could board [s]. Servers that
        have become free by the time it could are not known yet: the chance is that of a longer service, in whose last
        part it would be found.
    full: chance that every server has as many waiting as it takes, where it is known; nan = by the rule above (R,).
    """
    room = servers * np.asarray(together, float)
    excess, service, over = burstiness - 1.0, gathered.service, load >= 1
    with np.errstate(divide="ignore", invalid="ignore"):
        # Chance that every server has as many waiting as it takes: who comes then waits for whole services too.
        full = np.where(np.isnan(full), gathered.full * np.minimum(load, 1.0) ** room, full)
        # The rest of a service that is found under way, E[S^2] / 2 E[S], and a geometric number of whole ones.
        rest = service.square / (2 * service.mean) / (1 - full)
        # Its variance by Takacs' second moment, which needs E[S^3].
        spread = 2 * full * rest**2 + service.cube / (3 * service.mean * (1 - full)) - rest**2
        # Bursts: those that came along wait for each other.
        bursts = excess * service.mean / (2 * room * (1 - load)) + gathered.burst
        mean = np.maximum(rest + bursts + gathered.longer, 1e-12)
        varied = np.maximum(spread + bursts * np.abs(bursts) + gathered.varied, 0.0)
        shape, unit = _weibull(np.where(over, 1.0, varied / mean**2))
    # Servers that fall free while a request is on its way look busy to the router: services seem longer by that time.
    known = service.mean / (service.mean + reserved)
    # 1 for services that are all alike, 0 for exponential ones: the more alike, the fewer wait (``EVEN``).
    even = np.maximum(2 - service.square / service.mean**2, 0.0)
    fewer = 1 + EVEN * np.log2(servers) * even
    taken = all_taken(servers, gathered.busy, burstiness) ** fewer
    if np.any(known < 1):
        told = all_taken(servers, np.minimum(gathered.busy / known, 1.0), burstiness) ** fewer
        taken = np.maximum(taken, known * told)
    chance = np.where(over, 1.0, taken)
    scale = np.where(over, np.inf, mean / unit)
    return Wait(chance, scale, shape, np.zeros_like(scale) + boards, np.zeros_like(scale) + step)


def overflow(servers: Floats, load: Floats, together: Floats, variation: Floats) -> Floats:
    """How much rarer it is to wait for one batch more, of servers whose batches end together (R,).

    Queues fall off as ``z^-n`` in the number n that waits. Where c servers take T at once in services of squared coefficient
    of variation v, z > 1 solves ``E z^(arrivals in a service) = z^T``, to second order in z - 1::

        ln z = rho (z - 1) + T v (rho (z - 1))^2 / 2

    and a batch of every server more is ``c T`` requests more.

    Parameters
    ----------
    load: what arrives over the most that can be served, rho. together: most that a server takes, T.
    variation: of the duration of a service, which is the same for all that it takes, v.
    """
    rho = np.clip(load, 1e-3, 1 - 1e-9)
    # The right-hand side is larger at 1 / rho^2, and convex: Newton's steps from there fall onto the root.
    more = 1 / rho**2 - 1
    for _ in range(_NEWTON):
        excess = np.log1p(more) - rho * more - together * variation * (rho * more) ** 2 / 2
        slope = 1 / (1 + more) - rho - together * variation * rho**2 * more
        more = np.where(slope < 0, more - excess / np.minimum(slope, -1e-12), more)
    return np.asarray((1 + np.maximum(more, 0.0)) ** -(servers * together))


def _weibull(variation: Floats) -> tuple[Floats, Floats]:
    """Exponent of the Weibull distribution of a squared coefficient of variation, and its mean for scale 1."""
    place = np.log(np.clip(variation, _VARIATIONS[0], _VARIATIONS[-1]))
    return np.interp(place, np.log(_VARIATIONS), _SHAPES), np.interp(place, np.log(_VARIATIONS), _UNITS)


def all_taken(servers: Floats, rho: Floats, burstiness: float = 1.0) -> Floats:
    """Chance that an arrival finds all servers taken.

    Arrivals of squared coefficient of variation v see c servers as Poisson arrivals see c / v of them (Hayward), with
    Erlang C between whole numbers by its logarithm. Where less than one is left, 1 - C falls in proportion to
    (c / v)^0.6, fitted to simulated queues.

    Parameters
    ----------
    rho: share of the time that a server is busy.
    """
    seen = servers / burstiness
    low = np.maximum(np.floor(seen), 1.0)
    part = np.clip(seen - low, 0.0, 1.0)
    few = np.maximum(erlang_c(low, low * rho), 1e-300)
    more = np.maximum(erlang_c(low + 1, (low + 1) * rho), 1e-300) if np.any(part > 0) else few
    free = (1 - few ** (1 - part) * more**part) * np.minimum(seen, 1.0) ** 0.6
    return np.clip(1 - free, 0.0, 1.0)
