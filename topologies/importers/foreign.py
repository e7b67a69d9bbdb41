"""Graphs of other people as clusters: links given twice, hosts and bandwidths left to be derived."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import networkx as nx

from topologies.errors import BadInput
from topologies.hardware import Device, device, devices
from topologies.importers import products
from topologies.importers.attributes import AttributeRecord, Dictionary
from topologies.importers.fabric import Fabric, Port, Trunk
from topologies.importers.findings import Findings, Notes
from topologies.importers.source import Source
from topologies.schema import MAX_DEVICES

MAX_VERTICES = 2 * MAX_DEVICES


def graph_of(
    source: Source, kind: str, attributes: Mapping[str, Any], vertices: list[AttributeRecord], links: list[AttributeRecord]
) -> Findings:
    """The cluster that records describe, or the bare fabric where none is a device.

    Raises
    ------
    BadInput: a record that cannot be read; names its place.
    """
    if len(vertices) > MAX_VERTICES:
        raise source.error(None, f"the graph has {len(vertices):,} vertices; {MAX_VERTICES:,} is the most")
    notes, builder = Notes(), _Builder(source, attributes)
    for record in vertices:
        builder.add_vertex(record)
    for record in links:
        builder.add_link(record)
    builder.words.note(notes)
    graph, assumptions = builder.finished(), tuple(notes.assumptions)
    found = {data["kind"] for _, data in graph.nodes(data=True)}
    if "device" in found:
        return Findings(source.name, kind, graph=graph, assumptions=assumptions)
    if not {"host", "switch"} <= found:
        raise source.error(None, f"the graph of {len(graph)} vertices has neither devices nor hosts on switches")
    return Findings(source.name, kind, fabric=fabric_of(graph), assumptions=assumptions)


def fabric_of(graph: nx.Graph[str]) -> Fabric:
    """The fabric of a graph of hosts and switches; of two switches, the one nearer to hosts is the lower."""
    kinds = {vertex: str(data.get("kind")) for vertex, data in graph.nodes(data=True)}
    layers = nx.bfs_layers(graph, [vertex for vertex, kind in kinds.items() if kind == "host"])
    tier = {vertex: hops for hops, layer in enumerate(layers) for vertex in layer}
    ports, trunks = [], []
    for a, b, data in graph.edges(data=True):
        low, high = sorted((a, b), key=lambda vertex: (kinds[vertex], tier.get(vertex, len(graph)), vertex))
        rate = data.get("bandwidth_bytes_per_s")
        if (kinds[low], kinds[high]) == ("host", "switch"):
            ports.append(Port(low, "", high, rate))
        elif (kinds[low], kinds[high]) == ("switch", "switch"):
            trunks.append(Trunk(low, high, rate))
    return Fabric(tuple(vertex for vertex, kind in kinds.items() if kind == "switch"), tuple(ports), tuple(trunks))


class _Builder:
    """The graph while records are added to it."""

    def __init__(self, source: Source, attributes: Mapping[str, Any]) -> None:
        self.source, self.words = source, Dictionary(source)
        self._graph: nx.Graph[str] = nx.Graph()
        self._own = self._defined(attributes.get("devices"))
        self._ways: set[tuple[str, str]] = set()

    def _defined(self, given: Any) -> dict[str, Device]:
        """Devices that the graph defines, as a mapping or as JSON text."""
        try:
            given = json.loads(given) if isinstance(given, str) and given.strip() else given or {}
            return {str(name): Device.parse({"name": str(name), **dict(body)}) for name, body in dict(given).items()}
        except BadInput as error:
            raise self.source.error(None, f"`devices` of the graph: {error}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise self.source.error(None, "`devices` of the graph must map names to device definitions") from error

    def add_vertex(self, record: AttributeRecord) -> None:
        """Add one vertex; the name of a product becomes that of its device."""
        name = self.source.name_at(record.line, record.names[0])
        if name in self._graph:
            raise self.source.error(record.line, record.says("the vertex is listed twice"))
        values = self.words.vertex(record)
        kind = values.get("device")
        if isinstance(kind, str) and kind not in self._own:
            try:
                found = products.find(kind)
            except BadInput as error:
                raise self.source.error(record.line, record.says(str(error))) from error
            values["device"] = found.name
            if found.name not in devices():
                self._own[found.name] = found
        self._graph.add_node(name, **values)

    def add_link(self, record: AttributeRecord) -> None:
        """Add one link, with its fabric and bandwidth derived where they are not given."""
        a, b = record.names
        for end in (a, b):
            if end not in self._graph:
                raise self.source.error(record.line, record.says(f"no vertex is named {end[:80]!r}"))
        kinds = {self._graph.nodes[end]["kind"] for end in (a, b)}
        values = self.words.link(record, _fabric_between(kinds))
        self._derive_host(a, b)
        if values.get("bandwidth_bytes_per_s") is None and "device" in kinds:
            values["bandwidth_bytes_per_s"] = self._usual(record, values["fabric"])
            self.words.derive("bandwidth")
        if self._graph.has_edge(a, b):
            self._merge(record, values)
        else:
            self._graph.add_edge(a, b, **values)
        self._ways.add((a, b))

    def _merge(self, record: AttributeRecord, values: dict[str, Any]) -> None:
        """A link given in both directions is one; one given again in the same direction adds its bandwidth."""
        a, b = record.names
        if (a, b) not in self._ways:
            return
        there = self._graph.edges[a, b]
        first, second = there.get("bandwidth_bytes_per_s"), values.get("bandwidth_bytes_per_s")
        if (
            there["fabric"] != values["fabric"]
            or not isinstance(first, float | int)
            or not isinstance(second, float | int)
        ):
            raise self.source.error(record.line, record.says("the link is given twice, and not alike"))
        there["bandwidth_bytes_per_s"] = first + second

    def _derive_host(self, a: str, b: str) -> None:
        """A device without a named host sits in the one that it is linked to."""
        for here, there in ((a, b), (b, a)):
            if self._graph.nodes[here]["kind"] == "device" and self._graph.nodes[there]["kind"] == "host":
                self._graph.nodes[here].setdefault("host", there)

    def _usual(self, record: AttributeRecord, fabric: str) -> float:
        """Bandwidth that such a link has by the catalog [bytes/s]."""
        end = next(end for end in record.names if self._graph.nodes[end]["kind"] == "device")
        kind = self._graph.nodes[end].get("device")
        if not isinstance(kind, str):
            raise self.source.error(record.line, record.says(f"{end[:80]!r} does not say which device it is"))
        one = self._own[kind] if kind in self._own else device(kind)
        if fabric == "scale_up":
            return one.scale_up_pair_bytes_per_s
        return one.scale_out_bytes_per_s if fabric == "scale_out" else one.host_link_bytes_per_s

    def finished(self) -> nx.Graph[str]:
        """The graph with the devices that it defines."""
        if self._own:
            self._graph.graph["devices"] = {name: one.plain() for name, one in self._own.items()}
        return self._graph


def _fabric_between(kinds: set[str]) -> str:
    """The fabric that usually joins two kinds of vertices."""
    if kinds == {"device", "host"}:
        return "pcie"
    if kinds == {"device"}:
        return "scale_up"
    return "storage" if "storage" in kinds else "scale_out"
