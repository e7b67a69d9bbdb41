"""Random tiny markets: a few domains, a few columns, every mode and objective."""

from __future__ import annotations

import random

import networkx as nx

import topologies
from solver.optimize.layout.program import Market, Need, Supply
from solver.replica import Parallelism, Role, Setup
from solver.space.candidates import Candidate
from solver.space.profiles import Column
from solver.space.shapes import Footprint


def random_market(seed: int, objective: str | None = None) -> tuple[Market, list[Column]]:
    """A market and its columns."""
    rng = random.Random(seed)
    cluster = _cluster(rng)
    classes = topologies.domain_classes(cluster)
    prices = {name: round(rng.uniform(1, 4), 2) for name in sorted({c.device for c in classes})}
    supplies = tuple(Supply(i, c, prices[c.device]) for i, c in enumerate(classes))
    modes = rng.choice([(True, True), (True, False), (False, True)])
    needs = tuple(Need(round(rng.uniform(0.5, 6), 2), *modes) for _ in range(rng.choice([1, 1, 1, 2])))
    market = Market(
        supplies,
        needs,
        objective or rng.choice(["cost", "throughput"]),  # type: ignore[arg-type]
        rng.choice(["device", "host", "domain"]),  # type: ignore[arg-type]
        max_pools=rng.choice([1, 2]),
        max_devices=rng.choice([None, None, None, 6]),
    )
    columns = [column for group in range(len(needs)) for column in _columns(rng, supplies, group, len(needs))]
    return market, columns


def _cluster(rng: random.Random) -> nx.Graph[str]:
    kind = rng.choice(["hosts", "trays", "broken", "mixed"])
    if kind == "trays":
        return topologies.nvl72(**rng.choice([{"racks": 1, "trays_per_rack": 2}, {"racks": 2, "trays_per_rack": 1}]))
    nodes, size = rng.choice([(1, 4), (1, 6), (2, 3), (2, 4), (3, 2), (3, 3)])
    graph = topologies.hgx(nodes=nodes, device="h200", devices_per_host=size)
    if kind == "broken":
        return topologies.mark_unhealthy(graph, ["rack0/host0/gpu1"])
    if kind == "mixed":
        return topologies.join(graph, topologies.hgx(nodes=1, device="h100", devices_per_host=2))
    return graph


def _columns(rng: random.Random, supplies: tuple[Supply, ...], group: int, groups: int) -> list[Column]:
    """For every role a few footprints, each with every number of replicas that could fit, as the space has them."""
    found = []
    roles: tuple[Role, ...] = ("prefill", "decode", "unified")
    for role in roles:
        footprints: set[Footprint] = set()
        for _ in range(1 if groups == 2 else rng.choice([1, 2])):
            supply = rng.choice(supplies)
            size = rng.randint(1, min(supply.size, 4))
            widest = max(supply.host_sizes)
            parts = [part for part in range(1, size + 1) if size % part == 0 and part <= widest]
            per_host = rng.choice([parts[-1], rng.choice(parts)])
            footprints.add(Footprint(supply.device, rng.choice([1, 1, 1, 2]), size // per_host, per_host))
        for footprint in sorted(footprints):
            each, growth = rng.uniform(0.3, 1.0) * footprint.devices, rng.choice([0.0, 0.05])
            favour = rng.choice([1.0, 1.0, 1.05])
            for replicas in range(1, most_replicas(supplies, footprint) + 1):
                rate = each * (0.8 + growth * min(replicas, 3))
                found.append(column(group, role, footprint, replicas, rate, rate * favour))
    return found


def most_replicas(supplies: tuple[Supply, ...], footprint: Footprint) -> int:
    """No fewer replicas than could fit when nothing else runs."""
    able = [s for s in supplies if s.device == footprint.device and s.size >= footprint.size]
    if sum(s.count for s in able) < footprint.domains:
        return 0
    return sum(s.count * (s.size // footprint.size) for s in able) // footprint.domains


def column(group: int, role: Role, footprint: Footprint, replicas: int, rate: float, best_rate: float) -> Column:
    """A column of one count."""
    setup = Setup(role, "vllm", Parallelism(tp=footprint.devices), footprint.domains, stages=((0, 0),))
    candidate = Candidate(setup, footprint)
    return Column(group, 0, candidate, replicas, replicas, rate, best_rate, 0.1, 8.0)
