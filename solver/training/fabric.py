"""What the cluster graph leaves to the traffic of a layout, and which links it loads.

Each pattern is routed with all its ranks sending at once over equal-cost shortest paths: rings around every group between
domains, sends to the next stage, tokens to the experts of every group. The most loaded link decides what all get, as a
share of what a NIC alone would carry; patterns do not run at the same time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import networkx as nx

from solver.training.job import TrainingLayout
from solver.training.links import RankMachine, Slowdowns
from topologies import Routes, devices_of

Shape = tuple[str, int, int]
#: Directed loads of links [bytes/s].
LinkLoads = dict[tuple[str, str], float]


class Pattern(NamedTuple):
    """Traffic of one kind between domains.

    Attributes
    ----------
    slowdown: share of a NIC's bandwidth that every rank gets. busiest: the link that decides.
    """

    slowdown: float
    busiest: tuple[str, str] | None


@dataclass
class GraphFabric:
    """Routes of one cluster, and what was measured on them."""

    cluster: nx.Graph[str]
    _routes: Routes | None = None
    _known: dict[tuple[int, Shape], Pattern] = field(default_factory=dict)

    @property
    def routes(self) -> Routes:
        """The routes, prepared when first asked for."""
        if self._routes is None:
            self._routes = Routes(self.cluster)
        return self._routes

    def slowdowns(self, layout: TrainingLayout, machine: RankMachine, devices: Sequence[str]) -> Slowdowns:
        """What is left to each pattern.

        Parameters
        ----------
        devices: of the ranks, in their order.
        """
        found = self.patterns(layout, machine, devices)
        return Slowdowns(**{name: pattern.slowdown for name, pattern in found.items()})

    def patterns(self, layout: TrainingLayout, machine: RankMachine, devices: Sequence[str]) -> dict[str, Pattern]:
        """Every pattern that leaves scale-up domains."""
        key = tuple(devices)
        found: dict[str, Pattern] = {}
        for name, shape in _shapes(layout, machine).items():
            known = (hash(key), shape)
            if known not in self._known:
                self._known[known] = self._measured(shape, machine, devices)
            found[name] = self._known[known]
        return found

    def loads(self, layout: TrainingLayout, machine: RankMachine, devices: Sequence[str], name: str) -> LinkLoads:
        """Directed loads of the links when each rank sends 1 byte/s in a pattern."""
        return self._loads(_shapes(layout, machine)[name], machine, devices)

    def _measured(self, shape: Shape, machine: RankMachine, devices: Sequence[str]) -> Pattern:
        loads = self._loads(shape, machine, devices)
        out = {link: use for link, use in self.routes.utilisation(loads).items() if self.routes.scale_out(link)}
        if not out:
            return Pattern(1.0, None)
        link = max(out, key=lambda one: (out[one], one))
        nic = devices_of(self.cluster)[machine.device.name].scale_out_bytes_per_s
        return Pattern(min(1.0, 1 / out[link] / nic), link)

    def _loads(self, shape: Shape, machine: RankMachine, devices: Sequence[str]) -> LinkLoads:
        if shape[0] == "exchange":
            return self._exchange(shape[1], machine, devices)
        flows: Counter[tuple[str, str]] = Counter()
        for a, b in _steps(shape, len(devices)):
            flows[devices[a], devices[b]] += 1
        return self.routes.loads({pair: float(count) for pair, count in flows.items()})

    def _exchange(self, ranks: int, machine: RankMachine, devices: Sequence[str]) -> LinkLoads:
        """Loads when each rank sends 1 byte/s in all to the ranks of its group beyond its domain."""
        share = (ranks - 1) / (ranks - machine.domain)
        total: Counter[tuple[str, str]] = Counter()
        for start in range(0, len(devices) - ranks + 1, ranks):
            total.update(self.routes.all_to_all_loads(devices[start : start + ranks], share))
        return dict(total)


def _shapes(layout: TrainingLayout, machine: RankMachine) -> dict[str, Shape]:
    """What each pattern comes to: rings of ranks ``stride`` apart in blocks, shifts by a stage, or exchanges in groups."""
    domain, stage = machine.domain, layout.stage
    found: dict[str, Shape] = {}
    if layout.tp * layout.cp > domain:
        found["context"] = ("ring", max(layout.tp, domain), layout.tp * layout.cp)
    if stage > domain and layout.cp * layout.dp > 1:
        found["data"] = ("ring", max(layout.tp, domain), stage)
    if layout.ep > 1 and stage > domain and stage > layout.ep:
        found["expert_data"] = ("ring", max(layout.ep, domain), stage)
    if layout.pp > 1 and stage * layout.pp > domain:
        found["hop"] = ("shift", stage, stage * layout.pp)
    if layout.ep > domain:
        found["experts"] = ("exchange", layout.ep, layout.ep)
    return found


def _steps(shape: Shape, ranks: int) -> Iterator[tuple[int, int]]:
    """Pairs of ranks that send to each other."""
    kind, stride, block = shape
    if kind == "shift":
        yield from ((rank, (rank + stride) % ranks) for rank in range(ranks))
        return
    for start in range(0, ranks, block):
        for rank in range(block):
            # around the ring within the block
            after = rank + stride if rank + stride < block else rank % stride
            if after != rank:
                yield start + rank, start + after
