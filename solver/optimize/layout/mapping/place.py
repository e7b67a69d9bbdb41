"""The placements of a layout, among which rent and links choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.mapping.bins import Bin, Devices, exact, fill, near_each_other, spread
from solver.optimize.layout.mapping.in_place import in_place
from solver.optimize.layout.mapping.ranks import ranks
from solver.optimize.layout.mapping.units import by_unit
from solver.optimize.layout.program import Market, Supply
from solver.optimize.layout.search import Chosen, Layout
from solver.space.shapes import Fragment
from topologies import Domain

Packed = list[Bin] | None


@dataclass(frozen=True)
class Unpackable:
    """Pools that do not fit together on a supply, though the program thought so."""

    supply: int
    pools: tuple[Chosen, ...]


@dataclass(frozen=True)
class Mapping:
    """Devices of every rank: ``devices[pool][replica]`` lists them stage by stage, in rank order.

    Attributes
    ----------
    in_place: whether surviving replicas kept their devices.
    """

    devices: tuple[tuple[Devices, ...], ...]
    in_place: bool = False


def placements(layout: Layout, market: Market, effort: Effort) -> tuple[Mapping, ...] | Unpackable:
    """Ways to give every rank a device, without doubles; one that keeps replicas that run already comes first.

    The compact one is always among them, and where failures are to be survived one over all domains.
    """
    pools, supplies, standing = layout.pools, market.supplies, market.standing
    compact: list[Bin] = []
    even: Packed = []
    wide: Packed = [] if market.failures else None
    units: Packed = []
    for supply in supplies:
        counts = [pool.fragments.get(supply.index, 0) for pool in pools]
        # A host is paid for once, so parts of other domains on hosts in use come first.
        hosts = {host for b in compact if b.held for host in b.domain.host_names}
        domains = near_each_other(supply.domain_class.domains)
        domains.sort(key=lambda domain: hosts.isdisjoint(domain.host_names))
        packed = _packed(layout, supply, counts, domains, effort, compact)
        if packed is None:
            return Unpackable(supply.index, tuple(p for p in pools if p.fragments.get(supply.index)))
        compact += packed
        opened = [b.domain for b in packed if b.held]
        even = _also(even, lambda c=counts, d=opened, b=even: spread(pools, c, d, b))  # type: ignore[misc]
        wide = _also(wide, lambda c=counts, d=domains, b=wide: spread(pools, c, d, b))  # type: ignore[misc]
        units = _also(units, lambda c=counts, d=domains: by_unit(pools, c, d, effort) if any(c) else [])  # type: ignore[misc]
    kept = in_place(pools, supplies, standing) if standing else None
    found = [Mapping(kept, in_place=True)] if kept else []
    found += [Mapping(ranks(pools, bins)) for bins in (compact, even, wide, units) if bins is not None]
    return tuple(dict.fromkeys(found))


def _packed(
    layout: Layout, supply: Supply, counts: Sequence[int], domains: Sequence[Domain], effort: Effort, beside: Sequence[Bin]
) -> Packed:
    """Few domains: as the program decided where it did, else first fit, else by search."""
    pools, decided = layout.pools, layout.contents.get(supply.index)
    found = exact(pools, counts, supply, domains, effort, decided, beside) if decided else None
    return found or fill(pools, counts, domains, beside) or exact(pools, counts, supply, domains, effort, beside=beside)


def _also(before: Packed, more: Callable[[], Packed]) -> Packed:
    """The bins of one more supply beside those before; None where either has none."""
    found = None if before is None else more()
    return None if found is None or before is None else before + found


def kinds_on(pools: Sequence[Chosen], supply: int) -> tuple[Fragment, ...]:
    """Kinds of the fragments on a supply."""
    return tuple(sorted({p.column.footprint.fragment for p in pools if p.fragments.get(supply)}, reverse=True))
