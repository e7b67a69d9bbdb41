"""Machines by name for the stages of a pipeline, and the order of stages, such that links carry the flow.

Between two stages at most ``min over subsets S of the senders of [what the others send + what S can hand on]`` tokens
pass (max-flow is min-cut; stages are small). The search exchanges machines of a type, and stages, until no pair of
successive stages lacks flow. Where every link is wide there is nothing to do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from solver.pipelines.machines import SINK, SOURCE, UnlikeMachines
from solver.pipelines.regions import Regions
from solver.pipelines.stage_program import RegionGroup

Named = tuple[int, tuple[int, ...]]
"""Layers held and the machines of a stage."""

EXCHANGES = 500
"""Exchanges that are tried for each stage."""
LARGEST_CUT = 6
"""Stages with more machines than this are joined by a bound from single machines and the whole."""


def name_machines(regions: Regions, stages: Sequence[RegionGroup], tokens_per_s: float, seed: int = 0) -> list[Named]:
    """Stages with machines, in pipeline order, of the least lack of flow between them that was found."""
    return _Naming(regions, stages, tokens_per_s, Random(seed)).search()


class _Naming:
    def __init__(self, regions: Regions, stages: Sequence[RegionGroup], tokens_per_s: float, random: Random) -> None:
        self._fleet, self._wanted, self._random = regions.fleet, tokens_per_s, random
        places = [(region, loose) for region in range(len(regions.members)) for loose in (False, True)]
        free = {place: regions.available(*place) for place in places}
        self._stages: list[Named] = [(0, (SOURCE,))]
        for stage in stages:
            named = tuple(
                free[stage.region, stage.loose][kind].pop()
                for kind, number in stage.group.machines
                for _ in range(number)
            )
            self._stages.append((stage.group.held, named))
        self._stages.append((0, (SINK,)))
        self._spare = sorted(m for kinds in free.values() for machines in kinds.values() for m in machines)
        self._lack = lru_cache(maxsize=200_000)(self._lack_between)

    def search(self) -> list[Named]:
        """Exchanges at a falling temperature."""
        lacks = [self._lack(*pair) for pair in itertools.pairwise(self._stages)]
        total = best = sum(lacks)
        found = list(self._stages)
        steps = EXCHANGES * len(lacks)
        for step in range(steps):
            if best <= 0:
                break
            heat = 0.2 * self._wanted * (1 - step / steps) ** 2 + 1e-9
            before, spare = list(self._stages), list(self._spare)
            self._exchange()
            after = sum(self._lack(*pair) for pair in itertools.pairwise(self._stages))
            if after <= total or self._random.random() < math.exp((total - after) / heat):
                total = after
                if total < best:
                    best, found = total, list(self._stages)
            else:
                self._stages, self._spare = before, spare
        return found[1:-1]

    def _exchange(self) -> None:
        """Two stages change places, or two machines of a type do, one of them beside a pair that lacks flow."""
        random, last = self._random, len(self._stages) - 2
        lacking = [at for at, pair in enumerate(itertools.pairwise(self._stages)) if self._lack(*pair) > 0]
        one = min(max(random.choice(lacking) + random.randrange(2), 1), last)
        if random.random() < 0.4:
            other = random.randint(1, last)
            self._stages[one], self._stages[other] = self._stages[other], self._stages[one]
            return
        machine = random.choice(self._stages[one][1])
        kind = self._fleet.kinds[machine]
        elsewhere = [at for at in range(1, last + 1) if any(self._fleet.kinds[m] == kind for m in self._stages[at][1])]
        spare = [m for m in self._spare if self._fleet.kinds[m] == kind]
        if spare and random.random() < len(spare) / (len(spare) + len(elsewhere)):
            chosen = random.choice(spare)
            self._spare[self._spare.index(chosen)] = machine
            self._replace(one, machine, chosen)
            return
        other = random.choice(elsewhere)
        chosen = random.choice([m for m in self._stages[other][1] if self._fleet.kinds[m] == kind])
        if other != one:
            self._replace(one, machine, chosen)
            self._replace(other, chosen, machine)

    def _replace(self, at: int, old: int, new: int) -> None:
        held, machines = self._stages[at]
        self._stages[at] = held, tuple(sorted(new if m == old else m for m in machines))

    def _lack_between(self, one: Named, other: Named) -> float:
        return max(0.0, self._wanted - passing(self._fleet, one, other))


def passing(fleet: UnlikeMachines, one: Named, other: Named) -> float:
    """Most tokens/s from the machines of one stage to those of the next."""

    def rate(machine: int, held: int) -> float:
        return fleet.rate(machine, held) if held else math.inf

    senders = [(rate(a, one[0]), [_link(fleet, a, b) for b in other[1]]) for a in one[1]]
    receivers = [rate(b, other[0]) for b in other[1]]
    if len(senders) > LARGEST_CUT:
        subsets: list[list[int]] = [[n] for n in range(len(senders))] + [list(range(len(senders)))]
        subsets.append([])
    else:
        subsets = [[n for n in range(len(senders)) if mask >> n & 1] for mask in range(2 ** len(senders))]
    least = math.inf
    for subset in subsets:
        chosen = set(subset)
        stay = sum(rate for n, (rate, _) in enumerate(senders) if n not in chosen)
        handed = sum(min(most, sum(senders[n][1][b] for n in subset)) for b, most in enumerate(receivers))
        least = min(least, stay + handed)
    return least


def _link(fleet: UnlikeMachines, a: int, b: int) -> float:
    link = fleet.links.get((a, b))
    return 0.0 if link is None else link.tokens_per_s
