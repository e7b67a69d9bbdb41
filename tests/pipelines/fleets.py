"""Small fleets, and every placement on them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import numpy as np

from solver.pipelines import SINK, SOURCE, Link, UnlikeMachines, read_machines

Runs = dict[int, tuple[int, int]]


def random_fleet(seed: int, machines: int = 3, layers: int = 4, missing: float = 0.0) -> UnlikeMachines:
    """Machines of two types with tables that need not fall, and links of which some are slow or missing."""
    rng = np.random.default_rng(seed)
    kinds = tuple("ab"[int(rng.integers(2))] for _ in range(machines))
    tables = {
        kind: {held: float(rng.integers(2, 30)) for held in range(1, int(rng.integers(2, layers + 1)) + 1)}
        for kind in "ab"
    }
    ends = [*range(machines), SOURCE]
    links = {
        (a, b): Link(float(rng.integers(2, 40)), float(rng.integers(0, 3)) / 100)
        for a in ends
        for b in [*range(machines), SINK]
        if a != b and (a, b) != (SOURCE, SINK) and rng.random() >= missing
    }
    return UnlikeMachines(layers, kinds, tables, links)


def placements(fleet: UnlikeMachines) -> Iterator[Runs]:
    """Every choice of a run of layers, or none, for every machine."""
    choices: list[list[tuple[int, int] | None]] = []
    for kind in fleet.kinds:
        held = fleet.tokens_per_s[kind]
        choices.append([None, *((first, first + k) for k in held for first in range(fleet.layers - k + 1))])
    for chosen in itertools.product(*choices):
        yield {machine: run for machine, run in enumerate(chosen) if run is not None}


def greatest_flow(fleet: UnlikeMachines, runs: Runs) -> float:
    """Maximum flow by networkx, built apart from the solver."""
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(["source", "sink"])
    for machine, (first, end) in runs.items():
        rate = fleet.tokens_per_s[fleet.kinds[machine]][end - first]
        graph.add_edge(("in", machine), ("out", machine), capacity=rate)
        if first == 0 and (SOURCE, machine) in fleet.links:
            graph.add_edge("source", ("in", machine), capacity=fleet.links[SOURCE, machine].tokens_per_s)
        if end == fleet.layers and (machine, SINK) in fleet.links:
            graph.add_edge(("out", machine), "sink", capacity=fleet.links[machine, SINK].tokens_per_s)
        for other, (begin, _) in runs.items():
            if begin == end and (machine, other) in fleet.links:
                capacity = fleet.links[machine, other].tokens_per_s
                graph.add_edge(("out", machine), ("in", other), capacity=capacity)
    return float(nx.maximum_flow_value(graph, "source", "sink"))


def helix(path: Path) -> tuple[UnlikeMachines, dict]:
    """An instance of the Helix artifact and its record."""
    return read_machines(path), json.loads(path.read_text())


def recorded_runs(placement: dict[str, list[int]]) -> Runs:
    """A placement of a record."""
    return {int(machine): (first, end) for machine, (first, end) in placement.items()}
