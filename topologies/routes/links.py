"""Directed links by number, so that loads are arrays."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np

from topologies.routes.ecmp import Floats

Link = tuple[str, str]


class Links:
    """The two directions of every link of a cluster.

    Attributes
    ----------
    names: both ends, from and to; a link and its reverse are neighbours.
    bandwidth: of each direction [bytes/s]; scale_out: whether it belongs to the scale-out fabric.
    """

    def __init__(self, graph: nx.Graph[str]) -> None:
        ends = list(graph.edges(data=True))
        self.names: list[Link] = [link for a, b, _ in ends for link in ((a, b), (b, a))]
        self.bandwidth: Floats = np.repeat([float(data["bandwidth_bytes_per_s"]) for _, _, data in ends], 2)
        self.scale_out = np.repeat([data["fabric"] == "scale_out" for _, _, data in ends], 2)
        self._latency = [float(data["latency_s"]) for _, _, data in ends]
        self._number = {link: index for index, link in enumerate(self.names)}

    def arc(self, a: str, b: str) -> int:
        """Number of the link from a to b."""
        return self._number[a, b]

    def latency(self, path: list[str]) -> float:
        """Latencies along a path, summed [s]."""
        steps = itertools.pairwise(path)
        return sum(self._latency[self.arc(a, b) // 2] for a, b in steps)

    def nothing(self) -> Floats:
        """Loads of no traffic."""
        return np.zeros(len(self.names))

    def named(self, loads: Floats) -> dict[Link, float]:
        """The loads that are not zero, by link."""
        return {self.names[index]: float(loads[index]) for index in np.flatnonzero(loads)}

    def headroom(self, loads: Floats) -> float:
        """How many times the loads fit before the first link is full."""
        loaded = np.flatnonzero(loads)
        return float((self.bandwidth[loaded] / loads[loaded]).min())
