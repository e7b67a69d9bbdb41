"""Queues built of the simulation's own parts, with service times that theory knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.simulate.decode import DecodeReplica
from solver.simulate.meters import PoolMeter
from solver.simulate.pace import Chunk
from solver.simulate.prefill import PrefillReplica
from solver.simulate.requests import Arrival, ServedRequest
from solver.simulate.train import Room

#: A cache that never fills.
ENDLESS = Room(bytes=1e18, sequence_bytes=0.0, token_bytes=1.0, sequences=10**9)


class Proportional:
    """A pace at which a prompt takes as many seconds as it has tokens, and every decode step ``step_s``."""

    def __init__(self, step_s: float = 1.0) -> None:
        self._step_s = step_s

    def chunk(self, tokens: float, keys: float, sequences: float = 0.0, company: float = 0.0) -> Chunk:
        """A pass whose only cost is its tokens."""
        return Chunk(tokens, tokens, tokens)

    def decode_s(self, sequences: float, context: float) -> float:
        """The same for any batch."""
        return self._step_s


def waits_for_service(servers: int, arrivals: Sequence[float], services: Sequence[int]) -> NDArray[np.float64]:
    """Waits of requests with given service times [s], sent to the server with the least work (N,)."""
    import simpy

    env = simpy.Environment()
    done: dict[ServedRequest, float] = {}
    load = np.zeros(servers)
    trains: list[PrefillReplica] = []

    def out(server: int) -> Callable[[ServedRequest, int], None]:
        def left(request: ServedRequest, rank: int) -> None:
            done[request] = env.now
            trains[server].release(request, rank)

        return left

    pace: Any = Proportional()
    trains += [PrefillReplica(env, pace, ENDLESS, 1, 1e9, 1, PoolMeter(), out(server)) for server in range(servers)]
    requests = [ServedRequest(Arrival(time, "only", service, 1)) for time, service in zip(arrivals, services, strict=True)]

    def source() -> Any:
        for request in requests:
            yield env.timeout(request.arrival.time_s - env.now)
            server = int(np.maximum(load, env.now).argmin())
            load[server] = max(load[server], env.now) + request.compute
            trains[server].ready(request, 0)

    env.process(source())
    env.run()
    return np.array([done[r] - r.arrival.time_s - r.compute for r in requests])


def exponential(mean: float, count: int, seed: int) -> NDArray[np.float64]:
    """The quantiles of an exponential distribution in random order: its mean and variance without their noise (N,)."""
    quantiles = -np.log1p(-(np.arange(count) + 0.5) / count)
    return mean * np.random.default_rng(seed).permutation(quantiles)


def poisson(rate: float, count: int, seed: int) -> list[float]:
    """Arrival times (N,) [s]."""
    return np.cumsum(exponential(1 / rate, count, seed)).tolist()


def batches_over_time(rate: float, output: int, count: int, seed: int) -> tuple[float, float, float]:
    """Of one decode rank: mean batch over time, arrival rate, mean stay [s]."""
    import simpy

    env = simpy.Environment()
    ended: list[ServedRequest] = []
    pace: Any = Proportional(step_s=1.0)

    def finished(request: ServedRequest, rank: int) -> None:
        request.end_s = env.now
        ended.append(request)

    train = DecodeReplica(env, pace, ENDLESS, 1, PoolMeter(), finished, lambda tokens: 0.0)
    random = Random(seed)
    area, last = [0.0], [0.0]

    def source() -> Any:
        for time in poisson(rate, count, seed):
            yield env.timeout(time - env.now)
            request = ServedRequest(Arrival(env.now, "only", 1, max(1, round(random.expovariate(1 / output)))))
            train.ready(request, 0)

    def look() -> Any:
        while len(ended) < count:
            yield env.timeout(0.37)
            area[0] += 0.37 * len(train.held)
            last[0] = env.now

    env.process(source())
    env.process(look())
    env.run()
    stays = [r.end_s - r.arrival.time_s for r in ended]
    return area[0] / last[0], count / last[0], float(np.mean(stays))
