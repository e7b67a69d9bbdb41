"""Arrivals: drawn for the classes of a plan, or read from a trace."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from solver.simulate.requests import Arrival
from solver.workload import RequestClass
from solver.workload.lengths import Lengths

if TYPE_CHECKING:
    from solver.traces import Reading

#: Draws made at once.
BLOCK = 4096
#: Length of a day of diurnal traffic [s].
DAY_S = 86_400.0


@dataclass(frozen=True)
class Stochastic:
    """An endless mix of classes.

    Attributes
    ----------
    rates: requests/s by class.
    day: relative swing of the rate over a day, 0 = none: rate x (1 + day sin(2 pi t / period)).
    period_s: length of a day [s].
    """

    classes: Sequence[RequestClass]
    rates: dict[str, float]
    seed: int
    day: float = 0.0
    period_s: float = DAY_S

    def __iter__(self) -> Iterator[Arrival]:
        streams = [self._of(c, number) for number, c in enumerate(self.classes) if self.rates[c.name] > 0]
        return heapq.merge(*streams, key=lambda arrival: arrival.time_s)

    def _of(self, request_class: RequestClass, number: int) -> Iterator[Arrival]:
        """Gaps are gamma-distributed with the class's burstiness; lengths lognormal; all by the class's own generator."""
        random = np.random.default_rng([self.seed, number])
        shape = 1 / request_class.burstiness
        mean_s = 1 / self.rates[request_class.name]
        time_s = 0.0
        while True:
            gaps = random.gamma(shape, mean_s / shape, BLOCK)
            prompts = lengths(random, request_class.prompt_tokens, request_class.prompt_lengths)
            outputs = lengths(random, request_class.output_tokens, request_class.output_lengths)
            returning = random.random(BLOCK) < request_class.return_fraction
            idle = _idle(random, request_class)
            for gap, prompt, output, back, age in zip(gaps, prompts, outputs, returning, idle, strict=True):
                time_s += gap / self._swing(time_s)
                yield Arrival(
                    time_s,
                    request_class.name,
                    int(prompt),
                    int(output),
                    None,
                    min(request_class.reused_tokens.shared, int(prompt) - 1),
                    _history(request_class, int(prompt)) if back else 0,
                    float(age) if back else None,
                )

    def _swing(self, time_s: float) -> float:
        return 1 + self.day * math.sin(2 * math.pi * time_s / self.period_s)


def _history(request_class: RequestClass, prompt: int) -> int:
    """Private tokens of a prompt: as many more or less than usual as it is longer or shorter."""
    reuse = request_class.reused_tokens
    usual = reuse.private * prompt / request_class.prompt_tokens
    return max(min(round(usual), prompt - 1 - reuse.shared), 0)


def lengths(random: np.random.Generator, mean: float, spread: Lengths) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Lengths of this mean, whole and at least 1."""
    if not spread.sigma:
        return np.full(BLOCK, max(round(mean), 1))
    drawn = np.minimum(spread.scale * random.lognormal(0.0, spread.sigma, BLOCK), spread.most)
    return np.maximum(np.floor(mean * drawn), 1).astype(np.int64)


def _idle(random: np.random.Generator, request_class: RequestClass) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Ages of the sessions that return, lognormal through the class's two quantiles [s]."""
    idle = request_class.idle_s
    if idle is None:
        return np.zeros(BLOCK)
    sigma = math.log(idle.p90 / idle.median) / NormalDist().inv_cdf(0.9)
    return random.lognormal(math.log(idle.median), sigma, BLOCK)


def recorded(
    path: str | Path, reading: Reading, classes: Sequence[RequestClass], seed: int, speed: float = 1.0
) -> Iterator[Arrival]:
    """The requests of a trace, each in the class of the plan that it is nearest to.

    A class that the trace names itself is taken; else the nearest by the logarithms of both lengths. Requests of one
    tick of a coarse clock are spread over it.

    Parameters
    ----------
    speed: times are divided by it.

    Raises
    ------
    BadInput: while iterating, where the file cannot be read.
    """
    from solver.traces import arrivals

    names = {c.name for c in classes}
    for request in _spread(arrivals(path, reading), seed):
        name = request[1].class_name
        if name not in names:
            name = nearest_class(classes, request[1].prompt_tokens, request[1].output_tokens)
        found = request[1]
        yield Arrival(
            request[0] / speed,
            str(name),
            found.prompt_tokens,
            found.output_tokens,
            found.session,
            min(found.shared_tokens, found.prompt_tokens - 1),
            min(found.private_tokens, max(found.prompt_tokens - 1 - found.shared_tokens, 0)),
        )


def nearest_class(classes: Sequence[RequestClass], prompt: int, output: int) -> str:
    """The class whose mean lengths are nearest by their logarithms."""

    def distance(c: RequestClass) -> float:
        return abs(math.log(prompt / c.prompt_tokens)) + abs(math.log(output / c.output_tokens))

    return min(classes, key=distance).name


def _spread(requests: Iterable, seed: int) -> Iterator[tuple]:  # type: ignore[type-arg]
    """Requests with times; those of one instant are spread over the time until the next one."""
    random = Random(seed)
    together: list = []  # type: ignore[type-arg]
    for request in requests:
        if together and request.arrival_s > together[0].arrival_s:
            yield from _over(together, request.arrival_s - together[0].arrival_s, random)
            together = []
        together.append(request)
    yield from _over(together, 0.0, random)


def _over(together: list, width_s: float, random: Random) -> Iterator[tuple]:  # type: ignore[type-arg]
    """Spread some requests of one instant."""
    if len(together) == 1:
        yield together[0].arrival_s, together[0]
        return
    start = together[0].arrival_s if together else 0.0
    times = sorted(start + random.random() * width_s for _ in together)
    yield from zip(times, together, strict=True)
