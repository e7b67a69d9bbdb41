"""A layout that can be mapped: counts and names brought together until the rent is what the program counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.failing import beside_each_other
from solver.optimize.layout.hosts import contents
from solver.optimize.layout.mapping import Mapping, Unpackable, kinds_on, placements
from solver.optimize.layout.mapping.ranks import ranks
from solver.optimize.layout.mapping.survive import survives, surviving
from solver.optimize.layout.program import Joint, Market, Packing
from solver.optimize.layout.search import Layout, NoLayout, best_layout, bound_of
from solver.space.profiles import Column
from solver.space.shapes import Fragment

#: Times that counts may turn out to be unpackable, or dearer than counted, before the best mapping so far is taken.
MOST_REPACKS = 8
NOT_PACKED = (
    f"No plan was found whose replicas lie on the hosts as they were counted, in {MOST_REPACKS} attempts, and none was "
    "excluded. Allow fewer pools, or more devices."
)
#: Share by which a mapping's rent may exceed the program's count before the program counts hosts more carefully.
ROUNDING = 1e-6
#: Share of the time after which a layout that survives failures has a place, though not the best one: the bound needs its own.
SHARE_OF_PLACING = 0.5
#: Most contents of a domain that are enumerated.
MOST_CONTENTS = 4000


@dataclass(frozen=True)
class Judge:
    """What makes one placement better than another: the lower rent, then surviving replicas in place, then the links.

    Attributes
    ----------
    usd_per_hour: rent of a mapping.
    busiest: utilisation of its busiest scale-out link, and bytes/s times hops; asked only where it could decide.
    gap: share by which a rent may exceed the bound and still be good enough.
    """

    usd_per_hour: Callable[[Mapping], float]
    busiest: Callable[[Layout, Mapping], tuple[float, float]]
    gap: float = 0.0

    def best(self, layout: Layout, found: Sequence[Mapping]) -> Mapping:
        """The best of some placements; of equals the first."""
        rents = {mapping: self.usd_per_hour(mapping) for mapping in found}
        cheap = [mapping for mapping in found if rents[mapping] <= min(rents.values()) * (1 + ROUNDING)]
        if len(cheap) == 1 or cheap[0].in_place:
            return cheap[0]
        return min(cheap, key=lambda mapping: self.busiest(layout, mapping))


#: Solves a market over some columns: a layout whose bound is that of the given one where there is one.
Solve = Callable[[Market, Sequence[Column], Effort, Layout | None], Layout | NoLayout]


def realise(
    whole: Market, columns: Sequence[Column], judge: Judge, effort: Effort
) -> tuple[Layout, Mapping] | NoLayout:
    """The best layout that packs into domains and hosts, and survives what it has to, with a bound over all."""
    found = realised(whole, columns, judge, effort, best_layout)
    if isinstance(found, NoLayout) or not whole.failures:
        return found
    layout, mapping = found
    value = layout.value if whole.objective == "throughput" or whole.owned else judge.usd_per_hour(mapping)
    bound, proven = bound_of(replace(whole, exposed=layout.exposed), columns, value, effort)
    return replace(layout, bound=bound, proven=proven), mapping


def realised(
    whole: Market, columns: Sequence[Column], judge: Judge, effort: Effort, solve: Solve
) -> tuple[Layout, Mapping] | NoLayout:
    """A layout that packs into domains and hosts as the program counted.

    Where it does not, to within the gap, the contents of domains are enumerated for the sizes in question and the
    program solved again; the bound of the first program holds for what is demanded beyond it.

    Parameters
    ----------
    solve: what is asked for a layout.
    """
    best: tuple[Layout, Mapping] | None = None
    first: Layout | None = None
    cautious = False
    for _ in range(MOST_REPACKS):
        layout = solve(whole, columns, effort.finishing() if first and not best else effort, first)
        if isinstance(layout, NoLayout):
            return best or layout
        first = first or layout
        whole = replace(whole, exposed=layout.exposed)
        found = placements(layout, whole, effort.finishing())
        if whole.failures and not isinstance(found, Unpackable):
            found = _surviving(layout, whole, found, judge, effort)
        if isinstance(found, Unpackable):
            widened = beside_each_other(whole, [pool.column for pool in found.pools]) if whole.failures else whole
            if widened == whole:
                widened = _with_packings(whole, {(found.supply, kinds_on(found.pools, found.supply))})
            if widened == whole:
                widened = _with_joint(whole, {found.supply}, [pool.column for pool in found.pools])
        else:
            mapping = judge.best(layout, found)
            rent = judge.usd_per_hour(mapping)
            if best is None or rent < judge.usd_per_hour(best[1]):
                best = layout, mapping
            value = first.value if whole.whole_hosts else layout.value
            enough = max(value * (1 + max(effort.gap, ROUNDING)), layout.bound / (1 - min(judge.gap, 0.99)))
            if whole.objective == "throughput" or rent <= enough:
                return replace(best[0], bound=layout.bound), best[1]
            kinds = {s.index: kinds_on(layout.pools, s.index) for s in whole.supplies}
            widened = _with_packings(whole, set(kinds.items()))
            if whole.failures:
                # First with hosts counted so cautiously that what is found has a place, then with what lies beside what.
                beside = beside_each_other(replace(widened, whole_hosts=False), [pool.column for pool in layout.pools])
                widened = beside if cautious else replace(widened, whole_hosts=True)
                cautious = True
            if widened == whole:
                # Contents let fragments of one replica share a domain; those of a joint do not.
                held = {index for index, held in kinds.items() if held}
                widened = _with_joint(whole, held, [pool.column for pool in layout.pools])
        if widened == whole or (best and whole.failures and effort.clock and effort.clock.spent(SHARE_OF_PLACING)):
            break
        whole = widened
    return best or NoLayout(proven=False, because=NOT_PACKED)


def _surviving(
    layout: Layout, whole: Market, found: Sequence[Mapping], judge: Judge, effort: Effort
) -> tuple[Mapping, ...] | Unpackable:
    """Placements that survive what may fail, with one that was searched for where those that do cost more than was counted."""
    able = tuple(mapping for mapping in found if survives(layout, whole, mapping.devices))
    if able and (whole.objective == "throughput" or min(map(judge.usd_per_hour, able)) <= layout.value * (1 + ROUNDING)):
        return able
    bins = surviving(layout, whole, effort.finishing())
    if bins is not None:
        able = (*able, Mapping(ranks(layout.pools, bins)))
    return able or Unpackable(min(layout.pools[0].fragments), layout.pools)


def _with_joint(whole: Market, supplies: Collection[int], columns: Sequence[Column]) -> Market:
    """The market in which replicas of these columns lie in distinct domains beside each other."""
    entries = [Joint(supply, tuple(columns)) for supply in sorted(supplies)]
    return replace(whole, joint=tuple(dict.fromkeys((*whole.joint, *entries))))


def _with_packings(whole: Market, unsettled: set[tuple[int, tuple[Fragment, ...]]]) -> Market:
    """The market with contents enumerated for more kinds, one set for each supply; unchanged where that is too many."""
    known = {packing.supply: packing.kinds for packing in whole.packings}
    for supply, kinds in sorted(unsettled):
        if not kinds:
            continue
        merged = tuple(sorted({*known.get(supply, ()), *kinds}, reverse=True))
        found = contents(whole.supply(supply).host_sizes, merged)
        if sum(1 for _ in itertools.islice(found, MOST_CONTENTS + 1)) <= MOST_CONTENTS:
            known[supply] = merged
    return replace(whole, packings=tuple(Packing(*entry) for entry in sorted(known.items())))
