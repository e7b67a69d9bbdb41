"""How each vertex gets onto the scale-out fabric.

A device leaves through its own NICs, else through those of its host, else through those of the healthy devices beside
it (a host whose NICs hang on its devices). Devices never carry the traffic of other hosts.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from topologies.naming import in_order
from topologies.views import is_healthy_device, kinds, links


@dataclass(frozen=True, slots=True)
class Exit:
    """The way out of one vertex, and the way in when read backwards.

    Attributes
    ----------
    chain: vertices from the vertex itself to where paths part (a device without NICs: itself, its host).
    doors: vertices that hold the NICs; the end of the chain itself, or neighbours of it.
    ports: switches behind each door.
    """

    chain: tuple[str, ...]
    doors: tuple[str, ...]
    ports: tuple[tuple[str, ...], ...]

    def walk(self, door: int) -> tuple[str, ...]:
        """Vertices from the start up to the door of that index."""
        return self.chain if self.doors[door] == self.chain[-1] else (*self.chain, self.doors[door])


class Exits:
    """The exit of every healthy vertex of a checked cluster."""

    def __init__(self, graph: nx.Graph[str]) -> None:
        self._nics: dict[str, list[str]] = {}
        self.host: dict[str, str] = {}
        self._doors: dict[str, list[str]] = {}
        kind_of = kinds(graph)
        for a, b, fabric in links(graph):
            self._note(fabric, a, kind_of[a], b, kind_of[b])
            self._note(fabric, b, kind_of[b], a, kind_of[a])
        for vertex, data in graph.nodes(data=True):
            if vertex in self._nics and is_healthy_device(data):
                self._doors.setdefault(self.host[vertex], []).append(vertex)

    def _note(self, fabric: str, inner: str, kind: str, outer: str, beyond: str) -> None:
        if kind == "host":
            self.host[inner] = inner
        if kind != "switch" and beyond == "switch" and fabric in ("scale_out", "storage"):
            self._nics.setdefault(inner, []).append(outer)
        elif kind in ("device", "storage") and beyond == "host":
            self.host[inner] = outer

    def of(self, vertex: str) -> Exit | None:
        """The exit of a vertex, or None where it has no way onto the fabric."""
        host = self.host.get(vertex)
        if vertex in self._nics:
            return self._exit((vertex,), [vertex])
        if host is None:
            return None
        chain = (vertex,) if vertex == host else (vertex, host)
        if host in self._nics:
            return self._exit(chain, [host])
        doors = [door for door in self._doors.get(host, ()) if door != vertex]
        return self._exit(chain, doors) if doors else None

    def _exit(self, chain: tuple[str, ...], doors: list[str]) -> Exit:
        ports = {door: tuple(in_order(self._nics[door])) for door in doors}
        ordered = sorted(in_order(doors), key=lambda door: ports[door])
        return Exit(chain, tuple(ordered), tuple(ports[door] for door in ordered))


def scale_out_parts(graph: nx.Graph[str]) -> dict[str, int]:
    """Number of the connected part of the switch-to-switch fabric that each switch belongs to."""
    switches: nx.Graph[str] = nx.Graph()
    switches.add_nodes_from(in_order(vertex for vertex, kind in kinds(graph).items() if kind == "switch"))
    between = ((a, b) for a, b, fabric in links(graph) if fabric == "scale_out")
    switches.add_edges_from((a, b) for a, b in between if a in switches and b in switches)
    return {switch: index for index, part in enumerate(nx.connected_components(switches)) for switch in part}
