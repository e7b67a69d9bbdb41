"""Fragments of pools into scale-up domains and their hosts: first fit, spread evenly, or exactly by CP-SAT."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from solver.optimize.arithmetic.integers import IntegerProgram, IntegerRow
from solver.optimize.arithmetic.run import Effort, run
from solver.optimize.layout.hosts import least_hosts
from solver.optimize.layout.program import DomainContent, Supply
from solver.optimize.layout.search import Chosen
from solver.space.shapes import Footprint
from topologies import Domain

#: Devices of a replica, or of its part in one domain, host by host.
Devices = tuple[str, ...]


class FragmentColumn(Protocol):
    """What packing asks of the column that a pool was chosen from."""

    @property
    def footprint(self) -> Footprint: ...


class FragmentPool(Protocol):
    """A pool whose fragments are packed: of a serving layout, or the blocks of a training one."""

    @property
    def column(self) -> FragmentColumn: ...

    @property
    def replicas(self) -> int: ...


@dataclass
class Bin:
    """A domain being filled.

    Attributes
    ----------
    free: devices of each host that are left.
    held: devices of the fragments that it holds, by number of the pool.
    on_hosts: fragments by pool, of this domain and of those that share its hosts.
    """

    domain: Domain
    free: list[list[str]]
    held: dict[int, list[Devices]]
    on_hosts: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, domain: Domain) -> Bin:
        """An empty domain, that shares its hosts with no other."""
        return cls(domain, [list(devices) for devices in domain.hosts], {})

    @property
    def room(self) -> int:
        """Devices that are left."""
        return sum(map(len, self.free))

    def takes(self, number: int, pool: FragmentPool) -> bool:
        """Whether one more fragment of a pool fits."""
        footprint = pool.column.footprint
        able = sum(len(host) >= footprint.per_host for host in self.free)
        held = self.on_hosts[number] if footprint.domains > 1 else len(self.held.get(number, ()))
        return able >= footprint.hosts and held < most_in_one(pool)

    def add(self, number: int, pool: FragmentPool) -> Devices:
        """Put one more fragment of a pool onto the fullest hosts that have room for its parts."""
        footprint = pool.column.footprint
        able = [h for h, devices in enumerate(self.free) if len(devices) >= footprint.per_host]
        chosen = sorted(sorted(able, key=lambda h: (len(self.free[h]), h))[: footprint.hosts])
        return self.put(number, [device for h in chosen for device in self.free[h][: footprint.per_host]])

    def put(self, number: int, devices: Sequence[str]) -> Devices:
        """Put a fragment onto these devices."""
        taken = set(devices)
        self.free = [[device for device in host if device not in taken] for host in self.free]
        self.held.setdefault(number, []).append(tuple(devices))
        self.on_hosts[number] += 1
        return tuple(devices)


def empty(domains: Sequence[Domain], beside: Sequence[Bin] = ()) -> list[Bin]:
    """Empty domains, that count together what lies on hosts which they share, also with those beside them."""
    counts = {host: b.on_hosts for b in beside for host in b.domain.host_names}
    found = []
    for domain in domains:
        shared = next((counts[host] for host in domain.host_names if host in counts), Counter[int]())
        counts.update(dict.fromkeys(domain.host_names, shared))
        found.append(replace(Bin.of(domain), on_hosts=shared))
    return found


def most_in_one(pool: FragmentPool) -> int:
    """Fragments of a pool that one domain may hold, or domains that share hosts together.

    One of each replica, where replicas spread over several domains.
    """
    return pool.replicas if pool.column.footprint.domains > 1 else 1_000_000


def near_each_other(domains: Sequence[Domain]) -> list[Domain]:
    """Domains in an order in which those on the same leaves follow each other."""
    first: dict[tuple[str, ...], int] = {}
    for position, domain in enumerate(domains):
        first.setdefault(domain.leaves, position)
    return sorted(domains, key=lambda domain: first[domain.leaves])


def fill(
    pools: Sequence[FragmentPool], counts: Sequence[int], domains: Sequence[Domain], beside: Sequence[Bin] = ()
) -> list[Bin] | None:
    """First fit, largest fragments first, so that few domains are opened; None if something is left over.

    Parameters
    ----------
    counts: fragments of each pool.
    beside: domains of other supplies, filled before.
    """
    bins = empty(domains, beside)
    for number in largest_first(pools):
        first = 0
        for _ in range(counts[number]):
            chosen = next((i for i in range(first, len(bins)) if bins[i].takes(number, pools[number])), None)
            if chosen is None:
                return None
            bins[chosen].add(number, pools[number])
            first = chosen
    return bins


def spread(
    pools: Sequence[FragmentPool], counts: Sequence[int], domains: Sequence[Domain], beside: Sequence[Bin] = ()
) -> list[Bin] | None:
    """Every pool evenly over the domains: a failure takes little of each, and prefill lies beside decode.

    Round by round every domain takes one more, tightest first; None if something is left over. Parameters as :func:`fill`
    has them.
    """
    bins = empty(domains, beside)
    for number in largest_first(pools):
        left = counts[number]
        while left:
            able = sorted((b for b in bins if b.takes(number, pools[number])), key=lambda b: b.room)[:left]
            if not able:
                return None
            for chosen in able:
                if chosen.takes(number, pools[number]):  # what one took another may have had on its hosts
                    chosen.add(number, pools[number])
                    left -= 1
    return bins


def largest_first(pools: Sequence[FragmentPool]) -> list[int]:
    """Numbers of the pools, those that need most of a host first, then those that need most hosts."""

    def need(number: int) -> tuple[int, int, int]:
        footprint = pools[number].column.footprint
        return -footprint.per_host, -footprint.hosts, number

    return sorted(range(len(pools)), key=need)


def exact(
    pools: Sequence[Chosen],
    counts: Sequence[int],
    supply: Supply,
    domains: Sequence[Domain],
    effort: Effort,
    decided: Sequence[DomainContent] | None = None,
    beside: Sequence[Bin] = (),
) -> list[Bin] | None:
    """An exact packing of the fragments of each pool; None where there is none.

    A fragment has one part on each of its hosts, so n fragments of a pool in a domain are n hosts parts, at most n on a
    host: any such numbers of parts can be joined (Gale, Ryser).

    Parameters
    ----------
    decided: what each domain in use holds; it then lies on as few hosts as it can.
    beside: domains of other supplies, filled before.
    """
    bins = empty(domains, beside)
    here = [number for number in largest_first(pools) if counts[number]]
    program = HostProgram(pools, here, domains)
    program.place(counts, bins)
    for d, domain in enumerate(domains):
        sizes = [len(devices) for devices in domain.hosts]
        used = program.hosts_in_use(d, sizes) if decided else []
        for h, size in enumerate(sizes):
            sized = [(program.parts[number, d, h], pools[number].column.footprint.per_host) for number in here]
            program.require("room", [*sized, (used[h], -size)] if used else sized, 0 if used else size)
        if decided is not None:
            content = decided[d] if d < len(decided) else {}
            # As few hosts as the program counted.
            program.require("hosts", [(host, 1) for host in used], least_hosts(sizes, content) or 0)
            for kind in sorted({pools[number].column.footprint.fragment for number in here}):
                alike = [(program.held[n, d], 1) for n in here if pools[n].column.footprint.fragment == kind]
                program.require("content", alike, content.get(kind, 0), exactly=True)
    answer = run(program.finished(), effort)
    return [program.bin(d, bins[d], answer.values) for d in range(len(domains))] if answer.values else None


class HostProgram:
    """Fragments of each pool in each domain, and their parts on each host."""

    def __init__(self, pools: Sequence[Chosen], here: Sequence[int], domains: Sequence[Domain]) -> None:
        self._pools, self._here, self._domains = pools, here, domains
        self._names: list[str] = []
        self._bounds: list[tuple[int, int]] = []
        self._rows: list[IntegerRow] = []
        self.held: dict[tuple[int, int], int] = {}
        self.parts: dict[tuple[int, int, int], int] = {}
        for number in here:
            footprint = pools[number].column.footprint
            for d, domain in enumerate(domains):
                able = domain.device == footprint.device
                most = min(most_in_one(pools[number]), domain.size // footprint.size) if able else 0
                self.held[number, d] = held = self.variable(f"held.{number}.{d}", most)
                for h, devices in enumerate(domain.hosts):
                    part = self.variable(f"part.{number}.{d}.{h}", len(devices) // footprint.per_host)
                    self.parts[number, d, h] = part
                    self.require("distinct hosts", [(part, 1), (held, -1)], 0)
                parts = [(self.parts[number, d, h], 1) for h in range(len(domain.hosts))]
                self.require("whole", [*parts, (held, -footprint.hosts)], 0, exactly=True)

    def place(self, counts: Sequence[int], bins: Sequence[Bin]) -> None:
        """Demand so many fragments of each pool, of one replica no two in domains that share their hosts."""
        together: dict[int, list[int]] = defaultdict(list)
        for d, b in enumerate(bins):
            together[id(b.on_hosts)].append(d)
        for number in self._here:
            for members in together.values() if self._pools[number].column.footprint.domains > 1 else ():
                taken = bins[members[0]].on_hosts[number]
                if len(members) > 1 or taken:
                    held = [(self.held[number, d], 1) for d in members]
                    self.require("hosts of several domains", held, most_in_one(self._pools[number]) - taken)
            held = [(self.held[number, d], 1) for d in range(len(bins))]
            self.require("placed", held, counts[number], exactly=True)

    def hosts_in_use(self, d: int, sizes: Sequence[int]) -> list[int]:
        """Whether each host of a domain is used."""
        return [self.variable(f"used.{d}.{h}", 1) for h in range(len(sizes))]

    def variable(self, name: str, most: int) -> int:
        """A new whole number from 0."""
        self._names.append(name)
        self._bounds.append((0, most))
        return len(self._names) - 1

    def most(self, variable: int) -> int:
        """The most that a variable may be."""
        return self._bounds[variable][1]

    def require(self, rule: str, terms: Sequence[tuple[int, int]], most: int, exactly: bool = False) -> None:
        """Demand a sum of at most, or exactly, so much."""
        self._rows.append(IntegerRow(rule, tuple(terms), most if exactly else None, most))

    def finished(self, objective: Sequence[tuple[int, int]] = ()) -> IntegerProgram:
        """The program; without an objective any packing will do."""
        return IntegerProgram(
            tuple(self._names), tuple(self._bounds), tuple(self._rows), tuple(objective), 1.0, False
        )

    def bin(self, d: int, found: Bin, values: Sequence[int]) -> Bin:
        """An empty domain, filled with fragments on devices."""
        for number in self._here:
            footprint = self._pools[number].column.footprint
            left = Counter({h: values[self.parts[number, d, h]] for h in range(len(self._domains[d].hosts))})
            taken: dict[int, list[str]] = defaultdict(list)
            for _ in range(values[self.held[number, d]]):
                # Taking the hosts with most parts left keeps the rest joinable.
                for h in sorted(left, key=lambda host: (-left[host], host))[: footprint.hosts]:
                    left[h] -= 1
                    taken[h] = found.free[h][: footprint.per_host]
                found.put(number, [device for h in sorted(taken) for device in taken[h]])
                taken.clear()
        return found
