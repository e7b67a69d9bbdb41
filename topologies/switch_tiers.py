"""What the switches say about the scale-out fabric: tiers and their oversubscription."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from topologies.naming import in_order
from topologies.views import kinds, links

NAMES = ("leaf", "spine", "core")


@dataclass(frozen=True)
class SwitchPorts:
    """Bandwidth of one switch towards endpoints and away from them [bytes/s, one direction].

    Attributes
    ----------
    tier: 0 for a switch that devices, hosts or storage hang on, one more per hop from those.
    """

    name: str
    tier: int
    down_bytes_per_s: float
    up_bytes_per_s: float

    @property
    def oversubscription(self) -> float | None:
        """Bandwidth from below over bandwidth to above; None for a switch with nothing above it."""
        return self.down_bytes_per_s / self.up_bytes_per_s if self.up_bytes_per_s else None


@dataclass(frozen=True)
class FabricTier:
    """All switches of one tier.

    Attributes
    ----------
    name: leaf, spine, core, then tier 4 and on.
    down_bytes_per_s, up_bytes_per_s: of all its switches together, one direction.
    oversubscription: of its worst switch; None at the top.
    """

    name: str
    switches: tuple[SwitchPorts, ...]
    down_bytes_per_s: float
    up_bytes_per_s: float
    oversubscription: float | None


def fabric_tiers(graph: nx.Graph[str]) -> tuple[FabricTier, ...]:
    """The tiers of the scale-out fabric from the leaves up; empty where there is no fabric.

    >>> import topologies
    >>> tiers = fabric_tiers(topologies.hgx(nodes=4, spine_oversubscription=2.0))
    >>> [(tier.name, len(tier.switches), tier.oversubscription) for tier in tiers]
    [('leaf', 8, 2.0), ('spine', 4, None)]
    """
    by_tier: dict[int, list[SwitchPorts]] = {}
    for ports in switch_ports(graph).values():
        by_tier.setdefault(ports.tier, []).append(ports)
    return tuple(_tier(number, by_tier[number]) for number in sorted(by_tier))


def switch_ports(graph: nx.Graph[str]) -> dict[str, SwitchPorts]:
    """The ports of every scale-out switch, in natural order of names."""
    kind_of = kinds(graph)
    fabric = [(a, b) for a, b, kind in links(graph) if kind in ("scale_out", "storage")]
    switched = [(a, b) for a, b in fabric if kind_of[a] == kind_of[b] == "switch"]
    leaves = {v for pair in fabric for v in pair if kind_of[v] == "switch" and {kind_of[o] for o in pair} != {"switch"}}
    switches: nx.Graph[str] = nx.Graph(switched)
    switches.add_nodes_from(leaves)
    tier = {v: hops for hops, layer in enumerate(nx.bfs_layers(switches, sorted(leaves))) for v in layer}
    down, up = dict.fromkeys(switches, 0.0), dict.fromkeys(switches, 0.0)
    for pair in fabric:
        bytes_per_s = graph.edges[pair]["bandwidth_bytes_per_s"]
        for here, there in (pair, pair[::-1]):
            if here not in tier:
                continue
            if tier.get(there, -1) < tier[here]:
                down[here] += bytes_per_s
            elif tier[there] > tier[here]:
                up[here] += bytes_per_s
    return {name: SwitchPorts(name, tier[name], down[name], up[name]) for name in in_order(tier)}


def _tier(number: int, ports: list[SwitchPorts]) -> FabricTier:
    ratios = [one.oversubscription for one in ports if one.oversubscription is not None]
    return FabricTier(
        NAMES[number] if number < len(NAMES) else f"tier {number + 1}",
        tuple(ports),
        sum(one.down_bytes_per_s for one in ports),
        sum(one.up_bytes_per_s for one in ports),
        max(ratios, default=None),
    )
