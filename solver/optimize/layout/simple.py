"""The simplest of the layouts that cost little more than the least: what a person would choose among them.

Simplicity is an ordered list of counts, each of which decides only where those before it are equal: mechanisms that no
measured run had, shapes of replicas, pools with several pipeline stages in one domain, pools that do not fill hosts evenly,
sizes of replicas, pools whose replicas are not powers of two. Of equally simple layouts the cheapest is taken (where the
cluster is owned, the smallest), of those the one with the lowest TTFT and then TPOT at the 95th percentile, so that devices
that are paid anyway are put to use. Ties are never left to the order of the search.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.optimize.arithmetic.integers import IntegerProgram, IntegerRow, integerise
from solver.optimize.arithmetic.linear import total
from solver.optimize.arithmetic.run import Effort, run
from solver.optimize.layout.failing import exposed_of
from solver.optimize.layout.program import LEVELS, LayoutProgram, Market
from solver.optimize.layout.search import Layout, compared, layout_of, tidy
from solver.optimize.layout.write import write
from solver.replica import ROLES
from solver.space.profiles import Column

Floats = NDArray[np.float64]
#: TTFT (decode: TPOT) at the 95th percentile of each column at the load that a plan would give it [s] (N,).
Latency = Callable[[Sequence[Column]], Floats]

#: Steps in which TTFT and TPOT are compared; weight of a step of TPOT over what is merely tidy.
TTFT_STEPS, TPOT_STEPS, LATENCY_WEIGHT = 2000, 200, 10_000
#: Share by which whole numbers may exceed a rent.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Criterion:
    """One count that makes a layout simpler the smaller it is.

    Attributes
    ----------
    words: what is counted.
    keys: what a pool of a column adds to the count, where no other pool does.
    of_mechanisms: whether a pool may add more than one.
    """

    words: str
    keys: Callable[[Column, Market], Iterator[Hashable]]
    of_mechanisms: bool = False

    def count(self, columns: Sequence[Column], market: Market) -> int:
        """The count of a layout with these columns."""
        return len({key for column in columns for key in self.keys(column, market)})


def _untried(column: Column, market: Market) -> Iterator[Hashable]:
    yield from column.candidate.untried


def _shape(column: Column, market: Market) -> Iterator[Hashable]:
    yield column.role, column.footprint.device, column.candidate.setup.parallelism


def _pipeline(column: Column, market: Market) -> Iterator[Hashable]:
    if column.candidate.pipelined:
        yield _pool(column)


def _uneven(column: Column, market: Market) -> Iterator[Hashable]:
    hosts, part = column.footprint.hosts, column.footprint.per_host
    full = max(s.rented_host for s in market.supplies if s.device == column.footprint.device)
    if part != full and (hosts > 1 or full % part):
        yield _pool(column)


def _size(column: Column, market: Market) -> Iterator[Hashable]:
    yield column.footprint.devices


def _odd(column: Column, market: Market) -> Iterator[Hashable]:
    devices = column.footprint.devices
    if devices & (devices - 1):
        yield _pool(column)


def _pool(column: Column) -> Hashable:
    return column.group, column.role, column.split, column.footprint


#: From what matters most to what matters least.
CRITERIA = (
    Criterion("mechanisms that no measured run had", _untried, of_mechanisms=True),
    Criterion("shapes of replicas", _shape),
    Criterion("pools with several pipeline stages in a domain", _pipeline),
    Criterion("pools whose replicas do not fill hosts evenly", _uneven),
    Criterion("sizes of replicas", _size),
    Criterion("pools whose replicas are no power of two", _odd),
)

#: Counts of a layout by criterion: of two layouts the smaller tuple is the simpler.
Order = tuple[int, ...]


def order(layout: Layout, market: Market) -> Order:
    """How simple a layout is."""
    columns = [pool.column for pool in layout.pools]
    return tuple(criterion.count(columns, market) for criterion in CRITERIA)


def simplest(
    market: Market, columns: Sequence[Column], known: Layout, limit: float, latency: Latency, effort: Effort
) -> Layout | None:
    """The simplest layout that costs no more than a limit (or serves no less); None where none was found in time.

    Parameters
    ----------
    known: a layout within the limit, from which the search begins.
    limit: USD per hour, or a multiple of the mix.
    """
    market = replace(market, exposed=known.exposed)
    columns = exposed_of(market, columns)
    ceiling = known.bound if market.objective == "throughput" else None
    held = {pool.column for pool in known.pools}
    program = write(market, compared(market, columns, held, limit), ceiling=ceiling)
    integers = integerise(program.linear)
    search = _Narrowing(replace(integers, rows=(*integers.rows, _within(program, integers, limit))), _hint(program, known))
    for goal in (_counts(program), _rent(program, integers), _latencies(program, latency)):
        search.least(goal, effort.quiet(1 / 4))
        if not search.found:
            return None
    values = search.found[: len(integers.names)]
    steps = sum(factor * values[index] for index, factor in integers.objective)
    value = steps * program.most / LEVELS if program.level is not None else steps * integers.unit
    return layout_of(program, values, value, known.bound, known.proven)


@dataclass(frozen=True)
class _Goal:
    """What is made as small as it goes: a weighted sum of the program's variables, and of Booleans of its own.

    Attributes
    ----------
    terms: variables by their place, and their weights.
    any_of: further Booleans, each with its weight and the variables of which one alone already sets it.
    """

    terms: tuple[tuple[int, int], ...] = ()
    any_of: tuple[tuple[int, tuple[int, ...]], ...] = ()


class _Narrowing:
    """A program in which one goal after the other is met and then demanded.

    Attributes
    ----------
    found: the last solution; empty without one.
    """

    def __init__(self, program: IntegerProgram, hint: Sequence[int | None]) -> None:
        self._program = program
        self._hint = hint
        self.found: tuple[int, ...] = ()

    def least(self, goal: _Goal, effort: Effort) -> None:
        """Meet a goal; what was found before stays where the time is up."""
        before = self._program
        start = len(before.names)
        keys = range(start, start + len(goal.any_of))
        rows = [
            IntegerRow("counted once", ((key, 1), (member, -1)), 0, None)
            for key, (_, members) in zip(keys, goal.any_of, strict=True)
            for member in members
        ]
        terms = (*goal.terms, *((key, weight) for key, (weight, _) in zip(keys, goal.any_of, strict=True)))
        widened = replace(
            before,
            names=(*before.names, *(f"key.{key}" for key in keys)),
            bounds=(*before.bounds, *((0, 1) for _ in keys)),
            rows=(*before.rows, *rows),
            objective=terms,
            unit=1.0,
            maximise=False,
        )
        answer = run(widened, effort, hint=(*(self.found or self._hint), *(None for _ in keys)))
        if answer.objective is None:
            return
        self.found = answer.values
        met = IntegerRow("as simple", terms, None, answer.objective)
        self._program = replace(widened, rows=(*widened.rows, met))


def _within(program: LayoutProgram, integers: IntegerProgram, limit: float) -> IntegerRow:
    """Demand that the limit is kept."""
    if program.level is not None:
        return IntegerRow("limit", integers.objective, math.floor(limit * LEVELS / program.most), None)
    return IntegerRow("limit", integers.objective, None, math.floor(limit * (1 + ROUNDING) / integers.unit))


def _hint(program: LayoutProgram, known: Layout) -> list[int | None]:
    """The known layout's pools as values of the program's variables."""
    hint: list[int | None] = [None] * len(program.linear.variables)
    pools = {pool.column: pool for pool in known.pools}
    for choice in program.choices:
        pool = pools.get(choice.column)
        hint[choice.used.index] = int(pool is not None)
        hint[choice.replicas.index] = pool.replicas if pool else 0
        for supply, fragments in choice.fragments.items():
            hint[fragments.index] = pool.fragments.get(supply, 0) if pool else 0
    return hint


def _counts(program: LayoutProgram) -> _Goal:
    """All criteria as one goal, each weighing more than all after it together."""
    market = program.market
    weight = 1
    weighted: list[tuple[int, tuple[int, ...]]] = []
    for criterion in reversed(CRITERIA):
        members: dict[Hashable, list[int]] = defaultdict(list)
        for choice in program.choices:
            for key in criterion.keys(choice.column, market):
                members[key].append(choice.used.index)
        weighted += [(weight, tuple(of)) for of in members.values()]
        weight *= 1 + (len(members) if criterion.of_mechanisms else min(len(members), _most_pools(market)))
    return _Goal(any_of=tuple(weighted))


def _most_pools(market: Market) -> int:
    return len(market.needs) * len(ROLES) * market.max_pools


def _rent(program: LayoutProgram, integers: IntegerProgram) -> _Goal:
    """The cost; where the cluster is owned the devices, since what is left is free for others."""
    if program.market.owned and program.level is None:
        return _Goal(tuple((c.replicas.index, c.column.footprint.devices) for c in program.choices))
    sign = -1 if integers.maximise else 1
    return _Goal(tuple((index, sign * factor) for index, factor in integers.objective))


def _latencies(program: LayoutProgram, latency: Latency) -> _Goal:
    """TTFT, then TPOT, then how far idle KV is kept and which connector hands over."""
    figures = latency(program.columns)
    first = np.array([choice.column.role != "decode" for choice in program.choices])
    steps = np.zeros(len(figures), np.int64)
    for mask, most in ((first, TTFT_STEPS), (~first, TPOT_STEPS)):
        slowest = float(figures[mask].max(initial=0.0)) or 1.0
        steps[mask] = np.ceil(figures[mask] / slowest * most)
    weights = np.where(first, _most_pools(program.market) * TPOT_STEPS, 1) * LATENCY_WEIGHT
    goal = total(
        [*(c.used * float(s * w) for c, s, w in zip(program.choices, steps, weights, strict=True)), *tidy(program)]
    )
    return _Goal(tuple((variable.index, int(factor)) for variable, factor in goal.sorted()))
