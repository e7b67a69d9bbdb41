"""Unlike machines, what each does with so many layers, and the links between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from solver.errors import BadInput

SOURCE, SINK = -1, -2
"""Ends of links at which requests enter and leave."""


@dataclass(frozen=True)
class Link:
    """One direction of a link.

    Attributes
    ----------
    tokens_per_s: most tokens that pass.
    latency_s: what a token waits on the way.
    """

    tokens_per_s: float
    latency_s: float = 0.0


@dataclass(frozen=True, eq=False)
class UnlikeMachines:
    """What is to be served by what (after Helix: Mei et al., ASPLOS 2025, arXiv 2406.01566, section 4).

    Attributes
    ----------
    layers: layers of the LLM.
    kinds: type of each machine.
    tokens_per_s: throughput of a type by the number of layers that it holds; a number that is absent does not fit in
        its memory. It need not fall with every layer.
    links: from machine to machine, from :data:`SOURCE` and to :data:`SINK`; pairs that are absent cannot talk.
    micro_batch: sequences that a machine steps together when it reaches its throughput, so that a token needs
        ``overhead_s + micro_batch / tokens_per_s`` to pass.
    overhead_s: what every machine adds to that, however few layers it holds: scheduling, launches, waiting for the
        step under way. This is what makes depth dear: in Helix's simulator two placements of 16.2 and 24 machines a
        token took 1.51 and 2.22 s a token, 80 ms for each machine.
    sequences: sequences whose KV cache fits beside so many layers, by type and layers held; None: not limited.

    >>> fleet = UnlikeMachines.connected(4, ["a100", "t4", "t4"], {"a100": {2: 900.0}, "t4": {1: 700.0, 2: 300.0}})
    >>> fleet.count, fleet.links[SOURCE, 0].tokens_per_s
    ({'a100': 1, 't4': 2}, inf)
    """

    layers: int
    kinds: tuple[str, ...]
    tokens_per_s: Mapping[str, Mapping[int, float]]
    links: Mapping[tuple[int, int], Link]
    micro_batch: float = 16.0
    overhead_s: float = 0.0
    sequences: Mapping[str, Mapping[int, float]] | None = None
    count: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        if self.layers < 1 or not self.kinds:
            raise BadInput(
                f"a fleet needs layers and machines; got {self.layers} layers and {len(self.kinds)} machines"
            )
        if not 0 < self.micro_batch < float("inf") or not 0 <= self.overhead_s < float("inf"):
            raise BadInput(
                f"a micro-batch of {self.micro_batch} sequences with an overhead of {self.overhead_s} s cannot be stepped"
            )
        object.__setattr__(self, "count", {kind: self.kinds.count(kind) for kind in sorted(set(self.kinds))})
        for kind in self.count:
            table = self.tokens_per_s.get(kind)
            if not table:
                raise BadInput(f"machine type {kind!r} has no throughput for any number of layers")
            for held, rate in table.items():
                if not 1 <= held <= self.layers or not isfinite(rate) or rate <= 0:
                    raise BadInput(
                        f"machine type {kind!r} with {held} layers has throughput {rate:g}; numbers of layers lie in 1 to "
                        f"{self.layers} and throughputs are above 0"
                    )
                if self.sequences is not None and not self.sequences.get(kind, {}).get(held, 0) > 0:
                    raise BadInput(
                        f"machine type {kind!r} with {held} layers has no room for the KV cache of a sequence; leave that "
                        "number of layers out of its throughputs, or give it room"
                    )
        for (start, end), link in self.links.items():
            inside = -2 < start < len(self.kinds) and end != SOURCE and SINK <= end < len(self.kinds)
            if not inside or start == end or not link.tokens_per_s > 0 or not 0 <= link.latency_s < float("inf"):
                raise BadInput(
                    f"link {start} -> {end} does not join two of {len(self.kinds)} machines at a rate above 0"
                )

    @classmethod
    def connected(
        cls,
        layers: int,
        kinds: Sequence[str],
        tokens_per_s: Mapping[str, Mapping[int, float]],
        link: Link = Link(float("inf")),
    ) -> UnlikeMachines:
        """A fleet in which every machine talks to every other one over equal links."""
        ends = range(len(kinds))
        links = {(a, b): link for a in ends for b in ends if a != b}
        links |= {(SOURCE, a): link for a in ends} | {(a, SINK): link for a in ends}
        return cls(layers, tuple(kinds), tokens_per_s, links)

    def rate(self, machine: int, held: int) -> float:
        """Throughput of a machine with so many layers [tokens/s]."""
        return self.tokens_per_s[self.kinds[machine]][held]

    def pass_s(self, machine: int, held: int) -> float:
        """Time in which a token passes a machine with so many layers [s]."""
        return self.overhead_s + self.micro_batch / self.rate(machine, held)

    def hop_s(self, start: int, end: int) -> float:
        """Time in which a token passes a link, its micro-batch sent in one piece [s]."""
        link = self.links[start, end]
        return link.latency_s + self.micro_batch / link.tokens_per_s
