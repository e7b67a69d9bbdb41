"""How replicas fit into scale-up domains, hosts and the cluster."""

from __future__ import annotations

import math
from collections.abc import Iterator

from solver.optimize.arithmetic.linear import Demand, at_least, at_most, equal, total
from solver.optimize.layout.program import DomainContents, LayoutProgram, Supply
from solver.optimize.layout.rule import rule
from solver.replica import ROLES


@rule("fragments", "every replica is placed whole")
def fragments(program: LayoutProgram) -> Iterator[Demand]:
    for choice in program.choices:
        parts = choice.column.footprint.domains
        yield equal(total(choice.fragments.values()), choice.replicas * parts)


@rule("distinct domains", "a replica over several domains takes an equal part of distinct ones")
def distinct_domains(program: LayoutProgram) -> Iterator[Demand]:
    """A domain in use holds at most one fragment of each replica (Gale, Ryser)."""
    for supply in program.market.supplies:
        for choice, held in program.on(supply.index):
            if choice.column.footprint.domains > 1:
                yield at_most(held, program.domains[supply.index] * choice.column.high)


@rule("packing", "fragments fit into the scale-up domains")
def packing(program: LayoutProgram) -> Iterator[Demand]:
    """For every size s: whole multiples of s that the fragments hold against those that the domains hold.

    ``sum floor(size / s) x <= domains floor(R / s)`` is necessary for every s, and sufficient where each size divides the
    next. For other sizes that are chosen together the contents of domains are enumerated (:data:`patterns`).
    """
    for supply in program.market.supplies:
        pairs = list(program.on(supply.index))
        for size in sorted({1} | {choice.column.footprint.size for choice, _ in pairs}):
            held = total(
                x * (choice.column.footprint.size // size)
                for choice, x in pairs
                if choice.column.footprint.size >= size
            )
            yield at_most(held, program.domains[supply.index] * (supply.size // size))


@rule("contents", "what lies in each domain fits, and its hosts are counted")
def patterns(program: LayoutProgram) -> Iterator[Demand]:
    """Every domain in use holds one of the contents that fit; its hosts follow from what it holds.

    Exact where the chosen fragments have these sizes and no other; for other sizes it demands no more than is needed.
    """
    for settled in program.market.packings:
        index, sizes = settled.supply, settled.sizes
        supply = program.market.supply(index)
        found = list(contents(supply.size, sizes))
        followed = [
            program.linear.integer(f"content.{index}.{sizes}.{number}", 0, supply.count) for number in range(len(found))
        ]
        program.contents[index] = DomainContents(sizes, tuple(zip(found, followed, strict=True)))
        yield at_most(total(followed), program.domains[index])
        for position, size in enumerate(sizes):
            placed = total(x for choice, x in program.on(index) if choice.column.footprint.size == size)
            held = total(y * content[position] for y, content in zip(followed, found, strict=True) if content[position])
            yield equal(placed, held)
        taken = total(y * hosts_of(supply, content, sizes) for y, content in zip(followed, found, strict=True))
        yield at_most(taken, program.hosts[index])


@rule("joint contents", "fragments of one replica find distinct domains beside all others")
def joint_contents(program: LayoutProgram) -> Iterator[Demand]:
    """For columns that turned out not to fit together: what each has in every domain, one of each replica at most."""
    for together in program.market.joint:
        supply = program.market.supply(together.supply)
        here = [(choice, x) for choice, x in program.on(supply.index) if choice.column in together.columns]
        if not here:
            continue
        sizes = tuple(choice.column.footprint.size for choice, _ in here)
        most = [choice.column.high if choice.column.footprint.domains > 1 else supply.size for choice, _ in here]
        found = [c for c in contents(supply.size, sizes) if all(n <= m for n, m in zip(c, most, strict=True))]
        first = len(program.linear.variables)
        followed = [program.linear.integer(f"joint.{first}.{number}", 0, supply.count) for number in range(len(found))]
        yield at_most(total(followed), program.domains[supply.index])
        for position, (_, placed) in enumerate(here):
            held = total(y * content[position] for y, content in zip(followed, found, strict=True) if content[position])
            yield at_most(placed, held)


def contents(room: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """How many fragments of each size may lie together in a domain: every combination that fits, but the empty one.

    >>> sorted(contents(8, (4, 3)))
    [(0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]
    """

    def fill(position: int, left: int) -> Iterator[tuple[int, ...]]:
        if position == len(sizes):
            yield ()
            return
        for count in range(left // sizes[position] + 1):
            for rest in fill(position + 1, left - count * sizes[position]):
                yield (count, *rest)

    return (content for content in fill(0, room) if any(content))


def hosts_of(supply: Supply, content: tuple[int, ...], sizes: tuple[int, ...]) -> int:
    """Hosts that a domain's content takes, fullest hosts first."""
    devices, taken = sum(count * size for count, size in zip(content, sizes, strict=True)), 0
    for host in supply.host_sizes:
        if devices <= 0:
            break
        devices, taken = devices - host, taken + 1
    return taken


@rule("hosts", "hosts in use hold the devices in use")
def hosts(program: LayoutProgram) -> Iterator[Demand]:
    """With ``whole_hosts`` no fragment shares a host with a larger or odd-sized one."""
    for supply in program.market.supplies:
        index, largest = supply.index, max(supply.host_sizes)
        yield at_most(program.devices(index), program.hosts[index] * largest)
        yield at_most(program.domains[index], program.hosts[index])
        if program.market.whole_hosts and not program.optimistic:
            yield from _whole_hosts(program, supply, largest)


def _whole_hosts(program: LayoutProgram, supply: Supply, host: int) -> Iterator[Demand]:
    """Count hosts fragment by fragment, unless all hosts are in use anyway."""
    every = supply.count * len(supply.host_sizes)
    unit = math.lcm(*range(1, host + 1))
    counted, most = [], 0
    for choice, held in program.on(supply.index):
        size = choice.column.footprint.size
        together = min(host // size, choice.column.touched or host) if size < host else 1
        taken = -(-size // host) * unit // max(together, 1)
        counted.append(held * taken)
        most = max(most, held.high * taken)
    if not counted:
        return
    full = program.linear.boolean(f"full.{supply.index}")
    yield at_least(program.hosts[supply.index], full * every)
    reach = most * program.market.max_pools * len(ROLES) * len(program.market.needs)
    yield at_most(total(counted), program.hosts[supply.index] * unit + full * reach)


@rule("device limit", "no more devices than the user allows")
def device_limit(program: LayoutProgram) -> Iterator[Demand]:
    if program.market.max_devices is not None:
        used = total(program.devices(supply.index) for supply in program.market.supplies)
        yield at_most(used, program.market.max_devices)
