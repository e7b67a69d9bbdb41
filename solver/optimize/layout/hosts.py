"""How fragments of replicas lie on the hosts of one scale-up domain: what fits together, and on how few hosts.

A fragment takes as many devices of each of its hosts. What matters of a host is how many of its devices are free, so a
domain is a multiset of (devices, free) pairs and every question a search over such multisets, remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from solver.space.shapes import Fragment

#: Hosts of a domain by (devices, free devices).
State = tuple[tuple[tuple[int, int], int], ...]


def least_hosts(host_sizes: Sequence[int], held: Mapping[Fragment, int]) -> int | None:
    """Fewest hosts on which fragments lie together in one domain; None where they do not fit.

    >>> least_hosts([4, 4, 4], {Fragment(2, 3): 1, Fragment(1, 2): 1})
    3
    >>> least_hosts([4, 4], {Fragment(1, 3): 1, Fragment(1, 2): 2}), least_hosts([4, 4], {Fragment(1, 3): 2, Fragment(1, 2): 1})
    (2, None)
    """
    wanted = tuple(sorted(((kind, count) for kind, count in held.items() if count), key=_hardest))
    if sum(kind.size * count for kind, count in wanted) > sum(host_sizes):
        return None
    return _least(_state(Counter((size, size) for size in host_sizes)), wanted)


def _hardest(entry: tuple[Fragment, int]) -> tuple[int, int]:
    return -entry[0].per_host, -entry[0].hosts


def _state(hosts: Mapping[tuple[int, int], int]) -> State:
    return tuple(sorted((host, count) for host, count in hosts.items() if count))


@lru_cache(maxsize=200_000)
def _least(state: State, wanted: tuple[tuple[Fragment, int], ...]) -> int | None:
    """Fewest hosts that are used once everything that is wanted lies on a domain's hosts."""
    if not wanted:
        return sum(count for (size, free), count in state if free < size)
    (kind, count), rest = wanted[0], wanted[1:]
    left = ((kind, count - 1), *rest) if count > 1 else rest
    fewest = _fewest(state, wanted)
    best: int | None = None
    for after in _placements(dict(state), kind):
        found = _least(after, left)
        if found is not None and (best is None or found < best):
            best = found
            if best == fewest:
                break
    return best


def _fewest(state: State, wanted: tuple[tuple[Fragment, int], ...]) -> int:
    """Hosts that are used at least: what does not fit into those in use fills others."""
    used = [(free, count) for (size, free), count in state if free < size]
    more = sum(kind.size * count for kind, count in wanted) - sum(free * count for free, count in used)
    largest = max((size for (size, free), _ in state if free == size), default=1)
    return sum(count for _, count in used) + max(0, -(-more // largest))


def _placements(hosts: dict[tuple[int, int], int], kind: Fragment) -> Iterator[State]:
    """The domain after one fragment was placed, in every way that differs."""
    able = sorted((host for host in hosts if host[1] >= kind.per_host), key=lambda host: (host[1], host[0]))
    beyond = [sum(hosts[host] for host in able[position:]) for position in range(len(able) + 1)]

    def place(position: int, left: int, now: dict[tuple[int, int], int]) -> Iterator[State]:
        if left == 0:
            yield _state(now)
            return
        size, free = able[position]
        for taken in range(min(left, hosts[size, free]), max(left - beyond[position + 1], 0) - 1, -1):
            after = dict(now)
            after[size, free] -= taken
            after[size, free - kind.per_host] = after.get((size, free - kind.per_host), 0) + taken
            yield from place(position + 1, left - taken, after)

    return place(0, kind.hosts, dict(hosts)) if beyond[0] >= kind.hosts else iter(())


def contents(host_sizes: Sequence[int], kinds: Sequence[Fragment]) -> Iterator[tuple[int, ...]]:
    """How many fragments of each kind may lie together in a domain: every combination that fits, but the empty one.

    >>> sorted(contents([8], (Fragment(1, 4), Fragment(1, 3))))
    [(0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]
    """
    room = sum(host_sizes)

    def fill(position: int, left: int, chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if position == len(kinds):
            if any(chosen):
                yield chosen
            return
        for count in range(left // kinds[position].size + 1):
            more = (*chosen, count)
            # What does not fit does not with more beside it either.
            if count and least_hosts(host_sizes, dict(zip(kinds, more, strict=False))) is None:
                return
            yield from fill(position + 1, left - count * kinds[position].size, more)

    return fill(0, room, ())


def joint(host_sizes: Sequence[int], kinds: Sequence[Fragment]) -> Iterator[tuple[int, ...]]:
    """The same where several entries may be of one kind, each counted by itself."""
    distinct = tuple(dict.fromkeys(kinds))
    for content in contents(host_sizes, distinct):
        yield from _divided(dict(zip(distinct, content, strict=True)), kinds)


def _divided(held: Mapping[Fragment, int], kinds: Sequence[Fragment]) -> Iterator[tuple[int, ...]]:
    """Every way to divide the fragments of each kind among the entries of that kind."""
    if not kinds:
        if not any(held.values()):
            yield ()
        return
    kind, rest = kinds[0], kinds[1:]
    least = 0 if kind in rest else held[kind]
    for count in range(least, held[kind] + 1):
        for others in _divided({**held, kind: held[kind] - count}, rest):
            yield (count, *others)
