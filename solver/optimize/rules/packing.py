"""How replicas fit into scale-up domains, hosts and the cluster."""

from __future__ import annotations

import math
from collections.abc import Iterator

from solver.optimize.linear import total
from solver.optimize.program import LayoutProgram, Rule, Supply
from solver.replica import ROLES


def _fragments(program: LayoutProgram) -> None:
    for choice in program.choices:
        parts = choice.column.footprint.fragments
        placed = total(choice.fragments.values()) - choice.replicas * parts
        program.linear.require("fragments", placed, at_least=0, at_most=0)


def _distinct(program: LayoutProgram) -> None:
    """A replica's fragments lie in distinct domains, so a domain holds at most one of each replica (Gale and Ryser)."""
    for supply in program.market.supplies:
        for choice, fragments in program.on(supply.index):
            if choice.column.footprint.fragments > 1:
                program.linear.require("distinct domains", fragments - choice.replicas * supply.count, at_most=0)


def _packing(program: LayoutProgram) -> None:
    """For every size s: whole multiples of s that the fragments hold against those that the domains hold.

    ``sum floor(size / s) x <= domains floor(R / s)`` is necessary for every s, and sufficient where each size divides the
    next. Other sizes that are chosen together get their packings enumerated (:func:`_patterns`).
    """
    for supply in program.market.supplies:
        pairs = list(program.on(supply.index))
        for size in sorted({1} | {choice.column.footprint.size for choice, _ in pairs}):
            held = total(x * (choice.column.footprint.size // size) for choice, x in pairs if choice.column.footprint.size >= size)
            room = program.domains[supply.index] * (supply.size // size)
            program.linear.require("packing", held - room, at_most=0)


def _patterns(program: LayoutProgram) -> None:
    """For sizes that do not divide each other: every domain in use follows one of the maximal packings of these sizes."""
    supplies = {supply.index: supply for supply in program.market.supplies}
    for index, sizes in program.market.packings:
        patterns = list(maximal_packings(supplies[index].size, sizes))
        count = supplies[index].count
        followed = [program.linear.integer(f"pattern.{index}.{p}", 0, count) for p in range(len(patterns))]
        program.linear.require("packing", total(followed) - program.domains[index], at_most=0)
        for position, size in enumerate(sizes):
            held = total(x for choice, x in program.on(index) if choice.column.footprint.size == size)
            room = total(y * pattern[position] for y, pattern in zip(followed, patterns, strict=True) if pattern[position])
            program.linear.require("packing", held - room, at_most=0)


def maximal_packings(room: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """How many fragments of each size fit together so that no further one does.

    >>> sorted(maximal_packings(8, (3, 4)))
    [(1, 1), (2, 0), (0, 2)][:0] + [(0, 2), (1, 1), (2, 0)]
    """
    if not sizes:
        yield ()
        return
    smallest = min(sizes)

    def fill(position: int, left: int) -> Iterator[tuple[int, ...]]:
        size = sizes[position]
        if position == len(sizes) - 1:
            yield (left // size,)
            return
        for count in range(left // size, -1, -1):
            for rest in fill(position + 1, left - count * size):
                yield (count, *rest)

    for packing in fill(0, room):
        if room - sum(c * s for c, s in zip(packing, sizes, strict=True)) < smallest:
            yield packing


def _hosts(program: LayoutProgram) -> None:
    """Hosts in use hold the devices in use; with ``whole_hosts`` no fragment shares one with a larger or odd-sized one."""
    for supply in program.market.supplies:
        index, largest = supply.index, max(supply.host_sizes)
        program.linear.require("hosts", program.devices(index) - program.hosts[index] * largest, at_most=0)
        program.linear.require("hosts", program.domains[index] - program.hosts[index], at_most=0)
        if program.market.whole_hosts and not program.optimistic:
            _whole_hosts(program, supply, largest)


def _whole_hosts(program: LayoutProgram, supply: Supply, host: int) -> None:
    """Count hosts fragment by fragment, unless all hosts are in use anyway."""
    every = supply.count * len(supply.host_sizes)
    unit = math.lcm(*range(1, host + 1))
    counted, most = [], 0
    for choice, fragments in program.on(supply.index):
        size = choice.column.footprint.size
        together = min(host // size, choice.column.touched or host) if size < host else 1
        taken = -(-size // host) * unit // max(together, 1)
        counted.append(fragments * taken)
        most = max(most, fragments.high * taken)
    if not counted:
        return
    full = program.linear.boolean(f"full.{supply.index}")
    program.linear.require("hosts", program.hosts[supply.index] - full * every, at_least=0)
    reach = most * program.market.max_pools * len(ROLES) * len(program.market.needs)
    rest = total(counted) - program.hosts[supply.index] * unit - full * reach
    program.linear.require("hosts", rest, at_most=0)


def _device_limit(program: LayoutProgram) -> None:
    if program.market.max_devices is not None:
        used = total(program.devices(supply.index) for supply in program.market.supplies)
        program.linear.require("device limit", used, at_most=program.market.max_devices)


FRAGMENTS = Rule("fragments", "every replica is placed whole", _fragments)
DISTINCT = Rule("distinct domains", "a replica over several domains takes an equal part of distinct ones", _distinct)
PACKING = Rule("packing", "fragments fit into the scale-up domains", _packing)
PATTERNS = Rule("packing", "fragments fit into the scale-up domains", _patterns)
HOSTS = Rule("hosts", "hosts in use hold the devices in use", _hosts)
DEVICE_LIMIT = Rule("device limit", "no more devices than the user allows", _device_limit)
