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
    """A replica's fragments lie in distinct domains, so a domain in use holds at most one of each replica (Gale, Ryser)."""
    for supply in program.market.supplies:
        for choice, fragments in program.on(supply.index):
            if choice.column.footprint.fragments > 1:
                room = program.domains[supply.index] * choice.column.high
                program.linear.require("distinct domains", fragments - room, at_most=0)


def _packing(program: LayoutProgram) -> None:
    """For every size s: whole multiples of s that the fragments hold against those that the domains hold.

    ``sum floor(size / s) x <= domains floor(R / s)`` is necessary for every s, and sufficient where each size divides the
    next. For other sizes that are chosen together the contents of domains are enumerated (:func:`_patterns`).
    """
    for supply in program.market.supplies:
        pairs = list(program.on(supply.index))
        for size in sorted({1} | {choice.column.footprint.size for choice, _ in pairs}):
            held = total(
                x * (choice.column.footprint.size // size)
                for choice, x in pairs
                if choice.column.footprint.size >= size
            )
            room = program.domains[supply.index] * (supply.size // size)
            program.linear.require("packing", held - room, at_most=0)


def _patterns(program: LayoutProgram) -> None:
    """Every domain in use holds one of the contents that fit; its hosts follow from what it holds.

    Exact where the chosen fragments have these sizes and no other; for other sizes it demands no more than is needed.
    """
    for index, sizes in program.market.packings:
        supply = next(s for s in program.market.supplies if s.index == index)
        found = list(contents(supply.size, sizes))
        followed = [
            program.linear.integer(f"content.{index}.{sizes}.{number}", 0, supply.count) for number in range(len(found))
        ]
        program.contents[index] = (sizes, tuple(zip(found, followed, strict=True)))
        program.linear.require("packing", total(followed) - program.domains[index], at_most=0)
        for position, size in enumerate(sizes):
            placed = total(x for choice, x in program.on(index) if choice.column.footprint.size == size)
            held = total(y * content[position] for y, content in zip(followed, found, strict=True) if content[position])
            program.linear.require("packing", placed - held, at_least=0, at_most=0)
        hosts = total(y * hosts_of(supply, content, sizes) for y, content in zip(followed, found, strict=True))
        program.linear.require("hosts", hosts - program.hosts[index], at_most=0)


def _joint(program: LayoutProgram) -> None:
    """For columns that turned out not to fit together: what each of them has in every domain, one of each replica at most."""
    for index, columns in program.market.joint:
        supply = next(s for s in program.market.supplies if s.index == index)
        here = [(choice, x) for choice, x in program.on(index) if choice.column in columns]
        if not here:
            continue
        sizes = tuple(choice.column.footprint.size for choice, _ in here)
        most = [choice.column.high if choice.column.footprint.fragments > 1 else supply.size for choice, _ in here]
        found = [c for c in contents(supply.size, sizes) if all(n <= m for n, m in zip(c, most, strict=True))]
        first = len(program.linear.variables)
        followed = [program.linear.integer(f"joint.{first}.{number}", 0, supply.count) for number in range(len(found))]
        program.linear.require("packing", total(followed) - program.domains[index], at_most=0)
        for position, (_, placed) in enumerate(here):
            held = total(y * content[position] for y, content in zip(followed, found, strict=True) if content[position])
            program.linear.require("packing", placed - held, at_least=0, at_most=0)


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
    devices, hosts = sum(count * size for count, size in zip(content, sizes, strict=True)), 0
    for host in supply.host_sizes:
        if devices <= 0:
            break
        devices, hosts = devices - host, hosts + 1
    return hosts


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
PATTERNS = Rule("packing", "what lies in each domain fits, and its hosts are counted", _patterns)
HOSTS = Rule("hosts", "hosts in use hold the devices in use", _hosts)
JOINT = Rule("packing", "fragments of one replica find distinct domains beside all others", _joint)
DEVICE_LIMIT = Rule("device limit", "no more devices than the user allows", _device_limit)
