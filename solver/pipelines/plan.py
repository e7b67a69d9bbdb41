"""A placement of layers on machines: how tokens flow, how deep the paths are, what that means for latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from solver.errors import BadInput
from solver.pipelines.machines import SINK, SOURCE, UnlikeMachines

Runs = Mapping[int, tuple[int, int]]
"""First layer and end (not included) of the machines that hold layers."""

UNITS = 2**20
"""Steps of a token/s in which flow is counted; capacities are rounded down."""


@dataclass(frozen=True, eq=False)
class RequestPipeline:
    """Layers on machines and the greatest flow of tokens through them.

    Attributes
    ----------
    runs: layers of each machine that holds some, ``first <= layer < end``.
    flows: tokens/s on every link in use.
    tokens_per_s: sum of the flow from the source.
    bound: no placement on this fleet has a greater flow [tokens/s]; infinite where none was derived.
    """

    fleet: UnlikeMachines
    runs: Runs
    flows: Mapping[tuple[int, int], float]
    tokens_per_s: float
    bound: float = float("inf")

    @property
    def gap(self) -> float:
        """How far the greatest possible flow can be above this one, relative to that."""
        return 1.0 - self.tokens_per_s / self.bound

    @cached_property
    def through(self) -> dict[int, float]:
        """Tokens/s through every machine that serves any."""
        found: dict[int, float] = {}
        for (_, end), rate in self.flows.items():
            if end != SINK:
                found[end] = found.get(end, 0.0) + rate
        return found

    @property
    def mean_depth(self) -> float:
        """Machines that a token passes, mean over tokens."""
        return sum(self.through.values()) / self.tokens_per_s

    @property
    def depth(self) -> int:
        """Machines on the longest path that carries tokens."""
        return round(self._longest(lambda machine: 1.0, lambda start, end: 0.0))

    @property
    def token_latency_s(self) -> float:
        """Time from one token of a sequence to its next: passing all machines and links, mean over tokens [s].

        Machines are taken at full micro-batches without a queue before them, so a lightly loaded fleet is faster and a
        badly scheduled one slower.
        """
        machines = sum(rate * self._pass_s(machine) for machine, rate in self.through.items())
        links = sum(rate * self.fleet.hop_s(*link) for link, rate in self.flows.items())
        return (machines + links) / self.tokens_per_s

    @property
    def slowest_token_latency_s(self) -> float:
        """The same along the slowest path that carries tokens [s]."""
        return self._longest(self._pass_s, self.fleet.hop_s)

    @property
    def resident_sequences(self) -> float:
        """Sequences that must be in flight to reach the flow: tokens/s x seconds a token (Little's law)."""
        return self.tokens_per_s * self.token_latency_s

    @property
    def served_tokens_per_s(self) -> float:
        """Flow that the KV caches of the machines can keep going.

        A machine through which a share of the flow passes keeps that share of all sequences in flight. Depth costs
        twice: each further machine adds latency, and latency adds sequences on every machine.
        """
        if self.fleet.sequences is None:
            return self.tokens_per_s
        room = min(
            self.fleet.sequences[self.fleet.kinds[machine]][self._held(machine)] * self.tokens_per_s / rate
            for machine, rate in self.through.items()
        )
        return min(self.tokens_per_s, room / self.token_latency_s)

    def to_json(self) -> dict[str, Any]:
        """The plan with its depth and predicted latency beside the flow."""
        names = {SOURCE: "source", SINK: "sink"}
        return {
            "tokens_per_s": self.tokens_per_s,
            "bound": self.bound if self.bound < float("inf") else None,
            "gap": self.gap if self.bound < float("inf") else None,
            "depth": self.depth,
            "mean_depth": self.mean_depth,
            "token_latency_s": self.token_latency_s,
            "slowest_token_latency_s": self.slowest_token_latency_s,
            "resident_sequences": self.resident_sequences,
            "served_tokens_per_s": self.served_tokens_per_s,
            "machines": [
                {
                    "machine": m,
                    "type": self.fleet.kinds[m],
                    "layers": [first, end - 1],
                    "tokens_per_s": self.through.get(m, 0.0),
                }
                for m, (first, end) in sorted(self.runs.items(), key=lambda item: (item[1], item[0]))
            ],
            "flows": [[names.get(a, a), names.get(b, b), rate] for (a, b), rate in sorted(self.flows.items())],
        }

    def _held(self, machine: int) -> int:
        first, end = self.runs[machine]
        return end - first

    def _pass_s(self, machine: int) -> float:
        return self.fleet.pass_s(machine, self._held(machine))

    def _longest(self, at: Callable[[int], float], along: Callable[[int, int], float]) -> float:
        """Heaviest path from source to sink, with what machines and links weigh."""
        heaviest = {SOURCE: 0.0}
        for machine in sorted(self.through, key=lambda m: self.runs[m]):
            heaviest[machine] = at(machine) + max(
                heaviest[start] + along(start, end) for start, end in self.flows if end == machine
            )
        return max(heaviest[start] + along(start, end) for start, end in self.flows if end == SINK)


def flow_through(fleet: UnlikeMachines, runs: Runs) -> RequestPipeline | None:
    """The greatest flow through a placement; None where no token gets through.

    A token goes from the machine that ends at a layer to one that begins there.

    Raises
    ------
    BadInput: a machine holds more layers than it can, or layers that the LLM does not have.
    """
    for machine, (first, end) in runs.items():
        if not 0 <= first < end <= fleet.layers or end - first not in fleet.tokens_per_s[fleet.kinds[machine]]:
            raise BadInput(f"machine {machine} ({fleet.kinds[machine]}) cannot hold layers {first} to {end - 1}")
    network = _Network(fleet, runs)
    total = network.solve()
    if total <= 0:
        return None
    return RequestPipeline(fleet, dict(runs), network.flows(), total)


def flow_value(fleet: UnlikeMachines, runs: Runs) -> float:
    """The greatest flow through a legal placement [tokens/s]; 0 where no token gets through."""
    return _Network(fleet, runs).solve()


class _Network:
    """Arcs between the machines that meet at a layer: vertex 0 is the source, 1 the sink, two for each machine."""

    def __init__(self, fleet: UnlikeMachines, runs: Runs) -> None:
        from ortools.graph.python import max_flow

        self._solver: Any = max_flow.SimpleMaxFlow()
        self._optimal: object = max_flow.SimpleMaxFlow.OPTIMAL
        self._most = sum(fleet.rate(machine, end - first) for machine, (first, end) in runs.items())
        self._links: dict[tuple[int, int], int] = {}
        begins: dict[int, list[int]] = {fleet.layers: [SINK]}
        for machine, (first, end) in runs.items():
            self._arc(2 + 2 * machine, 3 + 2 * machine, fleet.rate(machine, end - first))
            begins.setdefault(first, []).append(machine)
        for start, meets in ((SOURCE, 0), *((machine, end) for machine, (_, end) in runs.items())):
            for other in begins.get(meets, ()):
                link = fleet.links.get((start, other))
                if link is not None and start != other:
                    tail, head = 0 if start == SOURCE else 3 + 2 * start, 1 if other == SINK else 2 + 2 * other
                    self._links[start, other] = self._arc(tail, head, link.tokens_per_s)

    def solve(self) -> float:
        """The greatest flow [tokens/s]."""
        if not self._links or self._solver.solve(0, 1) != self._optimal:
            return 0.0
        return float(self._solver.optimal_flow() / UNITS)

    def flows(self) -> dict[tuple[int, int], float]:
        """Tokens/s on the links in use."""
        return {
            link: rate / UNITS
            for link, number in sorted(self._links.items())
            if (rate := self._solver.flow(number)) > 0
        }

    def _arc(self, tail: int, head: int, rate: float) -> int:
        return int(self._solver.add_arc_with_capacity(tail, head, int(min(rate, self._most) * UNITS)))
