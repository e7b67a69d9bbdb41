"""Solves the layout program: relaxation, pruning, CP-SAT, the tie-break, and the twin that bounds every plan."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from solver.optimize.arithmetic.highs import by_highs, confirmed
from solver.optimize.arithmetic.integers import IntegerProgram, IntegerRow, integerise
from solver.optimize.arithmetic.linear import Expression, Variable, total
from solver.optimize.arithmetic.relaxation import MARGIN, Relaxation, relax
from solver.optimize.arithmetic.run import Effort, SolverResult, run
from solver.optimize.layout.failing import exposed_of, exposing, is_exposed, with_exposed
from solver.optimize.layout.kv_tiers import Keeping, Place, Split
from solver.optimize.layout.least import Floats, Limit, Servers, least
from solver.optimize.layout.program import LEVELS, Choice, DomainContent, LayoutProgram, Market, ReplicaKind
from solver.optimize.layout.write import write
from solver.space.dominance import undominated
from solver.space.handover import Connection
from solver.space.profiles import Column

#: Replicas of a column, or columns, beyond which HiGHS is asked before CP-SAT.
MANY_REPLICAS, MANY_CHOICES = 100, 250
#: Columns per promise and role with which a first solution is sought.
FIRST_COLUMNS = 48
#: The same where there are very many, and one that is near enough may already be among these.
FEWEST_COLUMNS = 6
#: Columns of which devices and demand alone choose first; so many that the search ends where the gap is met, short of the
#: optimum, before all of them have been in the program, and so many that it does after they were pruned.
MANY_COLUMNS, TOO_MANY_COLUMNS, TOO_MANY_LEFT = 150, 1000, 300
#: Columns that one program may have: the bound over more is what devices and demand alone say.
MOST_COLUMNS = 3000
#: Columns among which layouts that are good enough are compared, the same where some have many replicas, and the share of them
#: that is kept for those that are not plain.
MOST_COMPARED, FEWER_COMPARED, OTHERS = 400, 120, 0.25
#: Weights of a pool, a device and a step of latency when equally good layouts are compared.
POOL_WEIGHT, DEVICE_WEIGHT, WAIT_STEPS = 2_000_000, 100, 99
#: Weight of keeping idle KV, where that is not cheaper.
KEEP_WEIGHT = 40
#: Times that kinds of replicas may turn out to be missing among those whose losses are exact, before the best over those is
#: taken, and times that the bound may be drawn tighter by more of them.
MOST_EXPOSURES, MOST_TIGHTER = 6, 4
#: Share of the time left that one search for a layout that survives failures may take, and one for its bound: what is found
#: has yet to be placed.
SHARE_OF_SURVIVAL, SHARE_OF_BOUND = 0.1, 0.6
NOT_SURVIVED = (
    "No plan was found that survives the failures, among those whose losses were counted unit by unit, and none was excluded. "
    "Allow more devices, or fewer pools."
)
#: Steps in which the weights of standing replicas are compared.
WEIGHT_STEPS = 1000


@dataclass(frozen=True)
class Chosen:
    """One pool of a layout: a column, how many replicas, and how many fragments on each supply."""

    column: Column
    replicas: int
    fragments: dict[int, int]


@dataclass(frozen=True)
class Layout:
    """Counts of everything; names come later.

    Attributes
    ----------
    pools: chosen columns.
    disaggregated: by promise, whether prefill and decode are apart.
    value: USD per hour, or the multiple of the mix that is served, as the whole numbers count it.
    bound: fewest USD per hour, or largest multiple, of any layout.
    proven: whether the search for the bound finished.
    contents: by supply, what every domain in use holds (fragments by size), where that was decided.
    keeps: by number, the ways to keep idle KV that were chosen, with the split of each class.
    places: the tiers outside of HBM.
    exposed: kinds of replicas whose losses to failures are exact.
    connections: by promise, how its pools hand over; None where they are unified, or where everything connects.
    """

    pools: tuple[Chosen, ...]
    disaggregated: tuple[bool, ...]
    value: float
    bound: float
    proven: bool
    contents: dict[int, tuple[DomainContent, ...]]
    keeps: dict[int, tuple[Keeping, tuple[Split, ...]]] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    connections: tuple[Connection | None, ...] = ()
    exposed: tuple[tuple[ReplicaKind, ...], ...] = ()


@dataclass(frozen=True)
class NoLayout:
    """No layout exists, or none was found in time (``proven`` tells which).

    Attributes
    ----------
    because: what stands in the way where it is not a rule of the program: one sentence.
    """

    proven: bool
    because: str = ""


def best_layout(
    market: Market, columns: Sequence[Column], effort: Effort, bounded: Layout | None = None
) -> Layout | NoLayout:
    """The cheapest layout (or the one that serves most), with a bound over all of them.

    Where failures are to be survived the bound is what devices and demand alone say: to draw it tighter takes long, and is
    left to :func:`bound_of`, once the layout has a place.

    Parameters
    ----------
    bounded: a layout of a market that demands no more than this one, whose bound therefore holds here.
    """
    columns = list(columns) if market.failures else _undominated(market, columns)
    far = len(columns) > TOO_MANY_COLUMNS
    market, best = _exactly(market, columns, effort, any_good=far)
    if isinstance(best, NoLayout):
        return best
    if bounded:
        bound, proven = bounded.bound, bounded.proven
    elif market.failures:
        bound, proven = _roughly(market, columns, best.value), False
    else:
        bound, proven = bound_of(market, columns, best.value, effort)
    wide = far and not market.failures and abs(best.value - bound) > effort.gap * abs(best.value)
    if wide and (limit := least(market, Servers.of(columns))):
        # Of so many columns the twin's answer comes sooner than a search of all, and mostly makes one needless.
        best = _bettered(best.kept_in(market), columns, best, limit, effort)
        if not bounded:
            bound, proven = bound_of(market, columns, best.value, effort)
    if market.failures or not market.standing:
        best = _with_ties(market, exposed_of(market, columns), best)
    value, best = best.value, _least_moved(best, effort)
    return layout_of(best.program, _tie_break(best, effort), value, bound, proven)


def _undominated(market: Market, columns: Sequence[Column]) -> list[Column]:
    """Columns that none betters, and those of replicas that run already, which need not move."""
    best = set(undominated(columns))
    return [c for c in columns if c in best or any(standing.like(c) for standing in market.standing)]


def layout_of(program: LayoutProgram, values: Sequence[int], value: float, bound: float, proven: bool) -> Layout:
    """The layout that values of a program's variables describe."""
    return Layout(
        _pools(program, values),
        _modes(program, values),
        value,
        bound,
        proven,
        {supply: patterns.chosen(values) for supply, patterns in program.contents.items()},
        _keeps(program, values),
        program.market.places,
        _connections(program, values),
        program.market.exposed,
    )


@dataclass(frozen=True)
class Incumbent:
    """A layout that is known: its columns, and what it costs or the multiple that it serves."""

    columns: tuple[Column, ...]
    value: float


def incumbent(market: Market, columns: Sequence[Column], effort: Effort) -> Incumbent | None:
    """A good layout over some columns; None where none was found."""
    _, found = _exactly(market, list(columns) if market.failures else undominated(columns), effort, any_good=True)
    return None if isinstance(found, NoLayout) else Incumbent(found.columns, found.value)


@dataclass(frozen=True)
class _Solved:
    """An integer program over some columns and what CP-SAT says of it."""

    program: LayoutProgram
    integers: IntegerProgram
    answer: SolverResult

    @property
    def value(self) -> float:
        """Objective of the solution in USD per hour, or as a multiple of the mix."""
        return self._worth(self.answer.objective or 0)

    @property
    def limit(self) -> float:
        """Proven bound in the same unit; nothing proven bounds nothing. A multiple may lie just below the next step."""
        if self.answer.bound is None:
            return math.inf if self.integers.maximise else 0.0
        return self._worth(self.answer.bound + (1 if self.integers.maximise else 0))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those that the solution uses."""
        return tuple(pool.column for pool in _pools(self.program, self.answer.values))

    def kept_in(self, market: Market) -> Market:
        """The market in which this solution is known."""
        return replace(market, known=tuple(dict.fromkeys((*market.known, *self.columns))))

    def _worth(self, steps: float) -> float:
        scale = self.program.most / LEVELS if self.integers.maximise else 1.0
        return steps * self.integers.unit * scale


def _solve(
    market: Market, columns: Sequence[Column], effort: Effort, ceiling: float | None, optimistic: bool = False
) -> _Solved:
    program = write(market, columns, optimistic, ceiling)
    integers = integerise(program.linear, optimistic)
    answer = None
    if effort.seed is None and not effort.late and (_many(columns) or len(columns) > MANY_CHOICES):
        answer = by_highs(program.linear, integers, effort)
    return _Solved(program, integers, answer or run(integers, effort))


def _many(columns: Sequence[Column]) -> bool:
    """Whether some column may have so many replicas that CP-SAT is slow."""
    return any(column.high > MANY_REPLICAS for column in columns)


def _exactly(
    market: Market, columns: Sequence[Column], effort: Effort, any_good: bool = False
) -> tuple[Market, _Solved | NoLayout]:
    """A solution whose losses to failures are exact, and the market in which they are: what units hold of the kinds of replicas
    that it has is enumerated there. Parameters as :func:`_search`.

    A solution over columns whose losses are only known to be so large at least bounds those that are exact. The kinds that it
    uses are exact from then on, until a solution over exact ones alone is as good.
    """
    if not market.failures:
        return market, _search(market, columns, effort, any_good)
    if not market.exposed:
        market = exposing(market, _by_likelihood(market, columns))
    effort = replace(effort, time_limit_s=effort.seconds * SHARE_OF_SURVIVAL)
    best: _Solved | None = None
    for _ in range(MOST_EXPOSURES):
        found = _search(market, columns, effort, any_good)
        if isinstance(found, NoLayout):
            return market, best or found
        if all(is_exposed(market, column) for column in found.columns):
            return market, found
        market = with_exposed(market, found.columns)
        exact = _search(market, exposed_of(market, columns), effort, any_good)
        if isinstance(exact, _Solved):
            best = exact if best is None or _better(exact, best) else best
        if effort.late or (best and abs(best.value - found.value) <= effort.gap * abs(best.value)):
            break
    return market, best or NoLayout(False, NOT_SURVIVED)


def _by_likelihood(market: Market, columns: Sequence[Column]) -> list[Column]:
    """Settled columns, then those that worsen a layout least."""
    relaxed, settled = _relaxed(market, columns), _settled(market, columns)
    if relaxed is None:
        return list(columns)
    order = sorted(range(len(columns)), key=lambda n: (n not in settled, relaxed.loss[n], n))
    return [columns[n] for n in order]


def _search(market: Market, columns: Sequence[Column], effort: Effort, any_good: bool = False) -> _Solved | NoLayout:
    """A solution over the likeliest columns, then over all that could beat it.

    Of very many columns devices and demand alone choose the likeliest, and drop what cannot beat a solution over those.

    Parameters
    ----------
    any_good: a solution over the likeliest is enough.
    """
    if len(columns) <= MANY_COLUMNS:
        return _search_all(market, columns, effort)
    limit = least(market, Servers.of(columns))
    if limit is None:
        return NoLayout(proven=True)
    far, first = len(columns) > TOO_MANY_COLUMNS, None
    for few in (FEWEST_COLUMNS, FIRST_COLUMNS) if far else (FIRST_COLUMNS,):
        likely = _likeliest(columns, limit.share, limit.loss, _settled(market, columns), few)
        likely = sorted({*likely, *limit.partner[likely].tolist()})
        found = _search_all(market, [columns[n] for n in likely], effort)
        if isinstance(found, NoLayout):
            continue
        first = found if first is None or _better(found, first) else first
        if limit.near(first.value, effort.gap if far else MARGIN):
            return first
        market = first.kept_in(market)
    if first is None:
        return _search_all(market, columns, effort, any_good)
    return _bettered(market, columns, first, limit, effort, any_good)


def _bettered(
    market: Market, columns: Sequence[Column], first: _Solved, limit: Limit, effort: Effort, any_good: bool = False
) -> _Solved:
    """The best solution over all columns with which one could be better than a first; parameters as :func:`_search`."""
    settled = _settled(market, columns)
    rest = _search_all(market, _within(columns, limit, first.value, settled), effort, any_good)
    return rest if isinstance(rest, _Solved) and _better(rest, first) else first


def _within(columns: Sequence[Column], limit: Limit, value: float, settled: Collection[int]) -> list[Column]:
    """Columns that devices and demand alone do not rule out of every better layout (exact, up to a margin)."""
    room = limit.room(value)
    return [c for n, c in enumerate(columns) if limit.loss[n] <= room or n in settled]


def _search_all(
    market: Market, columns: Sequence[Column], effort: Effort, any_good: bool = False
) -> _Solved | NoLayout:
    """The same with the whole program's relaxation."""
    relaxed = _relaxed(market, columns)
    if relaxed is None or (relaxed.maximise and relaxed.value <= 0):
        return NoLayout(proven=True)
    likely = _likeliest(columns, relaxed.share, relaxed.loss, _settled(market, columns))
    first = _solve(market, [columns[i] for i in likely], effort, relaxed.ceiling)
    if first.answer.values and effort.clock:
        effort.clock.hold()
    if len(likely) == len(columns):
        return first if first.answer.values else NoLayout(first.answer.status == "infeasible")
    if any_good and first.answer.values:
        return first
    kept = list(range(len(columns)))
    if first.answer.values:
        kept = _could_beat(relaxed, first.value, _settled(market, columns))
        if set(kept) <= set(likely) or (len(kept) > TOO_MANY_LEFT and relaxed.near(first.value, effort.gap)):
            return first
    second = _solve(market, [columns[i] for i in kept], effort, relaxed.ceiling)
    if second.answer.values and (not first.answer.values or _better(second, first)):
        return second
    return first if first.answer.values else NoLayout(second.answer.status == "infeasible")


def _better(one: _Solved, other: _Solved) -> bool:
    return one.value > other.value if one.integers.maximise else one.value < other.value


@dataclass(frozen=True)
class _Relaxed:
    """The relaxation in USD per hour, or as a multiple of the mix.

    Attributes
    ----------
    value: its optimum.
    share: replicas of each column in it.
    loss: by how much the objective worsens at least when a column is used.
    """

    value: float
    share: tuple[float, ...]
    loss: tuple[float, ...]
    maximise: bool

    def near(self, known: float, gap: float) -> bool:
        """Whether a known layout is within a relative gap of the optimum."""
        return abs(known - self.value) <= gap * max(abs(known), abs(self.value))

    @property
    def ceiling(self) -> float | None:
        """A multiple of the mix that cannot be exceeded."""
        return self.value * (1 + MARGIN) if self.maximise else None


def _relaxed(market: Market, columns: Sequence[Column], optimistic: bool = False) -> _Relaxed | None:
    """Relax the program; None if even that has no solution."""
    program = write(market, columns, optimistic)
    found = relax(program.linear)
    if found is None:
        return None
    scale = program.most / LEVELS if program.level is not None else 1.0
    costs = [_cost_of_use(choice, found) for choice in program.choices]
    return _Relaxed(
        value=found.objective * scale,
        share=tuple(float(found.values[choice.replicas.index]) for choice in program.choices),
        loss=tuple(cost * scale for cost in costs),
        maximise=program.level is not None,
    )


def _cost_of_use(choice: Choice, found: Relaxation) -> float:
    """How much the objective worsens at least when a column is used: its variables leave their lower bounds."""
    price = found.reduced_costs
    least = choice.column.low
    fragment = min((price[x.index] for x in choice.fragments.values()), default=0.0)
    moved = (
        price[choice.used.index],
        price[choice.replicas.index] * least,
        fragment * least * choice.column.footprint.domains,
    )
    return float(sum(max(cost, 0.0) for cost in moved))


def _settled(market: Market, columns: Sequence[Column]) -> frozenset[int]:
    """Columns that stay in the program though they look dear: pinned ones, those of replicas that run already, and those of
    a layout that is known."""
    known = set(market.known)
    return frozenset(
        number
        for number, column in enumerate(columns)
        if column.pin is not None or column in known or any(standing.like(column) for standing in market.standing)
    )


def _likeliest(
    columns: Sequence[Column],
    share: Floats | Sequence[float],
    loss: Floats | Sequence[float],
    settled: Collection[int],
    few: int | None = None,
) -> list[int]:
    """Columns that a relaxation uses, settled ones, and the next best of every promise and role."""
    by_role: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, column in enumerate(columns):
        by_role[column.group, column.role, column.footprint.device].append(number)
    chosen = {n for n in range(len(columns)) if n in settled or share[n] > 1e-9}
    for members in by_role.values():
        chosen.update(sorted(members, key=lambda n: (loss[n], n))[: few or FIRST_COLUMNS])
    return sorted(chosen)


def _could_beat(relaxed: _Relaxed, value: float, settled: Collection[int]) -> list[int]:
    """Columns whose use does not by itself make every layout worse than one that is known (exact, up to a margin)."""
    room = abs(value - relaxed.value) + MARGIN * abs(relaxed.value)
    return [n for n, loss in enumerate(relaxed.loss) if loss <= room or n in settled]


def bound_of(market: Market, columns: Sequence[Column], value: float, effort: Effort) -> tuple[float, bool]:
    """What no layout beats, and whether the search for it finished.

    Where failures are to be survived, kinds of replicas of which the twin only knows how much is lost at least become exact
    as long as that helps, until the bound is near enough.

    Parameters
    ----------
    value: of a layout that is known [USD/h, or a multiple of the mix].
    """
    if market.failures:
        effort = replace(effort, time_limit_s=effort.seconds * SHARE_OF_BOUND)
    bound, proven, used = _twin(market, columns, value, effort)
    for _ in range(MOST_TIGHTER if market.failures else 0):
        near = abs(value - bound) <= effort.gap * abs(value)
        if near or not proven or effort.late or all(is_exposed(market, column) for column in used):
            break
        market = with_exposed(market, used)
        other, proven, used = _twin(market, columns, value, effort)
        bound = min(bound, other) if market.objective == "throughput" else max(bound, other)
    if market.beyond is not None:
        bound = max(bound, market.beyond) if market.objective == "throughput" else min(bound, market.beyond)
    return bound, proven


def _roughly(market: Market, columns: Sequence[Column], value: float) -> float:
    """What no layout beats by devices and demand alone."""
    limit = least(market, Servers.of(columns, optimistic=True))
    known = [value, *([limit.value] if limit else []), *([] if market.beyond is None else [market.beyond])]
    return max(known) if market.objective == "throughput" else min(known)


def _twin(
    market: Market, columns: Sequence[Column], value: float, effort: Effort
) -> tuple[float, bool, tuple[Column, ...]]:
    """What the twin cannot beat, whether its search finished, and the columns that it uses; none where devices and demand alone
    say it.

    Only columns with which the twin could beat the known layout matter: a layout without them is no better.
    """
    tighter = max if market.objective == "throughput" else min
    if len(columns) > MANY_COLUMNS:
        limit = least(market, Servers.of(columns, optimistic=True))
        if limit is None:
            return value, True, ()
        if limit.near(value, effort.gap if len(columns) > TOO_MANY_COLUMNS else MARGIN):
            return tighter(limit.value, value), True, ()
        columns = _within(columns, limit, value, _settled(market, columns))
        if len(columns) > MOST_COLUMNS:
            return tighter(limit.value, value), False, ()
    relaxed = _relaxed(market, columns, optimistic=True)
    if relaxed is None:
        return value, True, ()
    kept = _could_beat(relaxed, value, _settled(market, columns))
    if len(kept) > TOO_MANY_LEFT and relaxed.near(value, effort.gap):
        return relaxed.value, True, ()
    solved = _solve(market, [columns[n] for n in kept], effort, relaxed.ceiling, optimistic=True)
    if solved.answer.status == "infeasible":
        return value, True, ()
    finished = solved.answer.status == "optimal"
    used = solved.columns if solved.answer.values else ()
    if relaxed.maximise:
        return max(min(solved.limit, relaxed.value), value), finished, used
    return min(max(solved.limit, relaxed.value), value), finished, used


def _with_ties(market: Market, columns: Sequence[Column], best: _Solved) -> _Solved:
    """The best layout in a program that has every column which another layout as good could have, the likeliest first."""
    held = {choice.column for choice in best.program.choices if best.answer.values[choice.used.index]}
    program = write(market, compared(market, columns, held, best.value), ceiling=best.program.most or None)
    integers = integerise(program.linear)
    values = _carried(best, program)
    if not confirmed(integers, values):
        return best
    objective = sum(factor * values[index] for index, factor in integers.objective)
    return _Solved(program, integers, replace(best.answer, values=values, objective=objective))


def compared(market: Market, columns: Sequence[Column], held: Collection[Column], value: float) -> list[Column]:
    """Columns that a layout which costs or serves so much could have, as far as devices and demand alone can tell: those that
    are held, plain ones before others, the likeliest first."""
    limit, most = least(market, Servers.of(columns)), FEWER_COMPARED if _many(columns) else MOST_COMPARED
    if limit is None:
        return list(held)
    able = [n for n, column in enumerate(columns) if limit.loss[n] <= limit.room(value) or column in held]
    likely = sorted(able, key=lambda n: (columns[n] not in held, limit.loss[n], n))
    others = [n for n in likely if not columns[n].candidate.plain and columns[n] not in held]
    plain = [n for n in likely if n not in set(others)][: most - min(len(others), int(most * OTHERS))]
    return [columns[n] for n in sorted([*plain, *others[: most - len(plain)]])]


def _carried(best: _Solved, program: LayoutProgram) -> tuple[int, ...]:
    """The values of a solution in a program over other columns, all that it uses among them."""
    places = {choice.column: number for number, choice in enumerate(program.choices)}
    names = {}
    for choice in best.program.choices:
        if choice.column in places:
            for variable in (choice.used, choice.replicas, *choice.fragments.values()):
                kind, _, *rest = variable.name.split(".")
                names[".".join((kind, str(places[choice.column]), *rest))] = best.answer.values[variable.index]
    own = {v.name for choice in best.program.choices for v in (choice.used, choice.replicas, *choice.fragments.values())}
    for variable in best.program.linear.variables:
        if variable.name not in own:
            names[variable.name] = best.answer.values[variable.index]
    return tuple(names.get(variable.name, 0) for variable in program.linear.variables)


def _least_moved(best: _Solved, effort: Effort) -> _Solved:
    """Of the layouts within the gap of the best: the one in which standing replicas of most weight can stay."""
    program, integers = best.program, best.integers
    names, bounds, rows = list(integers.names), list(integers.bounds), [*integers.rows, _as_good(best, effort.gap)]
    goal, hint = [], list(best.answer.values)
    most = max((s.weights_bytes for s in program.market.standing), default=1.0)
    for number, standing in enumerate(program.market.standing):
        alike = [choice.replicas.index for choice in program.choices if standing.like(choice.column)]
        if not alike:
            continue
        stay = len(names)
        names.append(f"stay.{number}")
        bounds.append((0, len(standing.replicas)))
        rows.append(IntegerRow("stay", ((stay, -1), *((index, 1) for index in alike)), 0, None))
        goal.append((stay, math.ceil(standing.weights_bytes / most * WEIGHT_STEPS)))
        hint.append(min(len(standing.replicas), sum(hint[index] for index in alike)))
    if not goal:
        return best
    widened = IntegerProgram(tuple(names), tuple(bounds), tuple(rows), tuple(goal), 1.0, True)
    answer = run(widened, effort.quiet(1 / 4), hint=tuple(hint))
    if answer.objective is None:
        return best
    kept = IntegerRow("stay", tuple(goal), answer.objective, None)
    again = replace(integers, names=widened.names, bounds=widened.bounds, rows=(*widened.rows, kept))
    objective = sum(factor * answer.values[index] for index, factor in integers.objective)
    return replace(best, integers=again, answer=replace(best.answer, values=answer.values, objective=objective))


def _as_good(best: _Solved, gap: float = 0.0) -> IntegerRow:
    """Demand an objective as good as the best, or within a relative gap of it."""
    assert best.answer.objective is not None
    maximise = best.integers.maximise
    objective = math.floor(best.answer.objective * (1 - gap if maximise else 1 + gap))
    return IntegerRow(
        "as good", best.integers.objective, objective if maximise else None, None if maximise else objective
    )


def _tie_break(best: _Solved, effort: Effort) -> tuple[int, ...]:
    """Of the layouts as good as the best: fewest pools, then fewest devices, then least latency.

    What is mapped first should strain the fabric little; which layout is taken, :mod:`solver.optimize.layout.simple` says.
    """
    program, integers = best.program, best.integers
    slowest = max((choice.column.wait for choice in program.choices), default=0.0) or 1.0
    goal = total(
        choice.used * (POOL_WEIGHT + math.ceil(choice.column.wait / slowest * WAIT_STEPS))
        + choice.replicas * (DEVICE_WEIGHT * choice.column.footprint.devices)
        for choice in program.choices
    )
    goal = total([goal, *tidy(program)])
    terms = tuple((variable.index, int(factor)) for variable, factor in goal.sorted())
    again = IntegerProgram(integers.names, integers.bounds, (*integers.rows, _as_good(best)), terms, 1.0, False)
    answer = run(again, effort.quiet(1 / 4), hint=best.answer.values)
    return answer.values or best.answer.values


def tidy(program: LayoutProgram) -> Iterator[Expression]:
    """Weights of what makes no other difference: idle KV kept no farther than it must be, and preferred connectors."""
    yield from _far(program)
    yield from _preferred(program)


def _far(program: LayoutProgram) -> Iterator[Expression]:
    """Weights of keeping idle KV at all, and of keeping it farther than it must be: less than a device."""
    for keeps in program.keeps.values():
        yield keeps.chosen * KEEP_WEIGHT
        for variables in keeps.splits:
            for place, variable in enumerate(v for v in variables if v is not None):
                yield variable * (KEEP_WEIGHT * (len(variables) - 1 - place) // (len(variables) * len(keeps.splits)))


def _preferred(program: LayoutProgram) -> Iterator[Expression]:
    """Weights of connections by their place in the list: less than a step of latency."""
    for chosen in program.connected:
        yield from (variable * number for number, variable in enumerate(chosen))


def _pools(program: LayoutProgram, values: Sequence[int]) -> tuple[Chosen, ...]:
    return tuple(
        Chosen(
            choice.column,
            values[choice.replicas.index],
            {supply: values[x.index] for supply, x in sorted(choice.fragments.items()) if values[x.index]},
        )
        for choice in program.choices
        if values[choice.replicas.index] > 0
    )


def _keeps(program: LayoutProgram, values: Sequence[int]) -> dict[int, tuple[Keeping, tuple[Split, ...]]]:
    found = {}
    for number, keeps in program.keeps.items():
        if values[keeps.chosen.index]:
            keeping = program.market.keepings[number]
            splits = tuple(
                next(split for split, v in zip(way, variables, strict=True) if v is None or values[v.index])
                for way, variables in zip(keeping.splits, keeps.splits, strict=True)
            )
            found[number] = keeping, splits
    return found


def _connections(program: LayoutProgram, values: Sequence[int]) -> tuple[Connection | None, ...]:
    def used(chosen: Sequence[Variable]) -> Connection | None:
        pairs = zip(chosen, program.market.connections, strict=True)
        return next((connection for variable, connection in pairs if values[variable.index]), None)

    return tuple(used(chosen) if chosen else None for chosen in program.connected)


def _modes(program: LayoutProgram, values: Sequence[int]) -> tuple[bool, ...]:
    return tuple(bool(values[variable.index]) for variable in program.disaggregated)
