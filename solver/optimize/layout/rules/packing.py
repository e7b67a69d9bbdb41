"""How replicas fit into scale-up domains, hosts and the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from solver.optimize.arithmetic.linear import Demand, at_least, at_most, equal, total
from solver.optimize.layout.hosts import contents, joint, least_hosts
from solver.optimize.layout.program import DomainContents, LayoutProgram, Supply
from solver.optimize.layout.rule import rule


@rule("fragments", "every replica is placed whole")
def fragments(program: LayoutProgram) -> Iterator[Demand]:
    for choice in program.choices:
        parts = choice.column.footprint.domains
        yield equal(total(choice.fragments.values()), choice.replicas * parts)


@rule("distinct domains", "a replica over several domains takes an equal part of distinct ones")
def distinct_domains(program: LayoutProgram) -> Iterator[Demand]:
    """A domain in use holds at most one fragment of each replica (Gale, Ryser), and so do domains that share their hosts."""
    for supply in program.market.supplies:
        for choice, held in program.on(supply.index):
            if choice.column.footprint.domains > 1:
                yield at_most(held, program.domains[supply.index] * choice.column.high)
    apart: dict[tuple[int, ...], int] = {}
    for choice in program.choices:
        if choice.column.footprint.domains > 1:
            places = tuple(choice.fragments)
            if places not in apart:
                apart[places] = _apart([program.market.supply(index) for index in places])
            if apart[places]:
                yield at_most(total(choice.fragments.values()), choice.column.high * apart[places])


def _apart(supplies: Sequence[Supply]) -> int:
    """How many of the domains have hosts of their own, at least one of each that share some; 0 where all have."""
    domains = [domain for supply in supplies for domain in supply.domain_class.domains]
    hosts = {domain.host_names[0] for domain in domains}
    return len(hosts) if len(hosts) < len(domains) else 0


def telling(sizes: Iterable[int]) -> list[int]:
    """Numbers s by which whole multiples of s in some sizes may be counted, without those that say no more than a larger one.

    >>> telling([4, 8])
    [1, 2, 4, 8]
    >>> telling([4, 6])
    [1, 2, 3, 4, 6]
    """
    held = sorted(set(sizes))
    largest = {tuple(size // s for size in held): s for s in range(1, max(held, default=1) + 1)}
    return sorted({1, *largest.values()})


@rule("packing", "fragments fit into the scale-up domains")
def packing(program: LayoutProgram) -> Iterator[Demand]:
    """For every s: whole multiples of s that the fragments hold against those that the domains hold.

    ``sum floor(size / s) x <= domains floor(R / s)`` is necessary for every s, and sufficient where each size divides the
    next. For other sizes that are chosen together the contents of domains are enumerated (:data:`patterns`).
    """
    for supply in program.market.supplies:
        pairs = list(program.on(supply.index))
        for size in telling(choice.column.footprint.size for choice, _ in pairs):
            held = total(x * (choice.column.footprint.size // size) for choice, x in pairs)
            yield at_most(held, program.domains[supply.index] * (supply.size // size))


@rule("packing of hosts", "parts of replicas fit onto the hosts of the domains")
def host_packing(program: LayoutProgram) -> Iterator[Demand]:
    """The same for every number of devices that a replica takes of a host, and for the hosts in use."""
    for supply in program.market.supplies:
        pairs = list(program.on(supply.index))
        largest, several = max(supply.host_sizes), len(supply.host_sizes) > 1
        for part in telling(choice.column.footprint.per_host for choice, _ in pairs):
            held = total(
                x * (choice.column.footprint.hosts * (choice.column.footprint.per_host // part)) for choice, x in pairs
            )
            if several:
                room = sum(host // part for host in supply.host_sizes)
                yield at_most(held, program.domains[supply.index] * room)
            yield at_most(held, program.hosts[supply.index] * (largest // part))


@rule("contents", "what lies in each domain fits, and its hosts are counted")
def patterns(program: LayoutProgram) -> Iterator[Demand]:
    """Every domain in use holds one of the contents that fit; its hosts follow from what it holds.

    Exact where the chosen fragments are of these kinds and no other; for others it demands no more than is needed.
    """
    for settled in program.market.packings:
        index, kinds = settled.supply, settled.kinds
        supply = program.market.supply(index)
        found = list(contents(supply.host_sizes, kinds))
        followed = [
            program.linear.integer(f"content.{index}.{len(kinds)}.{number}", 0, supply.count)
            for number in range(len(found))
        ]
        program.contents[index] = DomainContents(kinds, tuple(zip(found, followed, strict=True)))
        yield at_most(total(followed), program.domains[index])
        for position, kind in enumerate(kinds):
            placed = total(x for choice, x in program.on(index) if choice.column.footprint.fragment == kind)
            held = total(y * content[position] for y, content in zip(followed, found, strict=True) if content[position])
            yield equal(placed, held)
        taken = total(
            y * (least_hosts(supply.host_sizes, dict(zip(kinds, content, strict=True))) or 0)
            for y, content in zip(followed, found, strict=True)
        )
        yield at_most(taken, program.hosts[index])


@rule("joint contents", "fragments of one replica find distinct domains beside all others")
def joint_contents(program: LayoutProgram) -> Iterator[Demand]:
    """For columns that turned out not to fit together: what each has in every domain, one of each replica at most."""
    for together in program.market.joint:
        supply = program.market.supply(together.supply)
        here = [(choice, x) for choice, x in program.on(supply.index) if choice.column in together.columns]
        if not here:
            continue
        kinds = tuple(choice.column.footprint.fragment for choice, _ in here)
        most = [choice.column.high if choice.column.footprint.domains > 1 else supply.size for choice, _ in here]
        found = [c for c in joint(supply.host_sizes, kinds) if all(n <= m for n, m in zip(c, most, strict=True))]
        first = len(program.linear.variables)
        followed = [program.linear.integer(f"joint.{first}.{number}", 0, supply.count) for number in range(len(found))]
        yield at_most(total(followed), program.domains[supply.index])
        for position, (_, placed) in enumerate(here):
            held = total(y * content[position] for y, content in zip(followed, found, strict=True) if content[position])
            yield at_most(placed, held)


@rule("hosts", "a domain in use has a host in use")
def hosts(program: LayoutProgram) -> Iterator[Demand]:
    for supply in program.market.supplies:
        yield at_most(program.domains[supply.index], program.hosts[supply.index])


@rule("hosts of several domains", "a host in use is paid for, once however many domains have devices there")
def rented_hosts(program: LayoutProgram) -> Iterator[Demand]:
    kinds = program.market.host_kinds
    for supply in program.market.supplies if kinds else ():
        paid = total(
            rented * parts
            for kind, rented in zip(kinds, program.rented, strict=True)
            for index, parts in kind.parts
            if index == supply.index
        )
        yield at_least(paid, program.hosts[supply.index])


@rule("device limit", "no more devices than the user allows")
def device_limit(program: LayoutProgram) -> Iterator[Demand]:
    if program.market.max_devices is not None:
        used = total(program.devices(supply.index) for supply in program.market.supplies)
        yield at_most(used, program.market.max_devices)
