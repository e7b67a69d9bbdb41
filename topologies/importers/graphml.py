"""GraphML as networkx, Gephi or yEd write it, read without their parsers so that errors name lines."""

from __future__ import annotations

from typing import Any

from topologies.importers.attributes import AttributeRecord
from topologies.importers.findings import Findings
from topologies.importers.foreign import graph_of
from topologies.importers.markup import Element, parse
from topologies.importers.source import Source

_OWNERS = ("node", "edge", "graph")


def read(source: Source, host: str) -> Findings:
    """A cluster, or a bare fabric, from a GraphML file.

    Raises
    ------
    BadInput: not GraphML, or a graph that is no cluster; names the line.
    """
    root = parse(source)
    graph = root.find("graph")
    if root.tag != "graphml" or graph is None:
        raise source.error(root.line, f"<{root.tag[:40]}> holds no <graph>")
    for odd in ("hyperedge", "port"):
        if found := graph.find(odd):
            raise source.error(found.line, f"<{odd}> joins more than two vertices; links join two")
    keys = {owner: _keys(root, owner) for owner in _OWNERS}
    vertices = [_record(source, entry, keys["node"], ("id",)) for entry in graph.all("node")]
    links = [_record(source, entry, keys["edge"], ("source", "target")) for entry in graph.all("edge")]
    return graph_of(source, "graphml", _values(graph, keys["graph"]), vertices, links)


def _keys(root: Element, owner: str) -> dict[str, tuple[str, str | None]]:
    """Name and default of each key that vertices, links or the graph may have."""
    found = {}
    for key in root.all("key"):
        if key.attributes.get("for", "all") in (owner, "all"):
            default = key.find("default")
            name = key.attributes.get("attr.name") or key.attributes.get("id", "")
            found[key.attributes.get("id", "")] = (name, default.text if default else None)
    return found


def _record(
    source: Source, entry: Element, keys: dict[str, tuple[str, str | None]], identity: tuple[str, ...]
) -> AttributeRecord:
    names = tuple(entry.attributes.get(key, "") for key in identity)
    if not all(names):
        raise source.error(entry.line, f"<{entry.tag}> lacks {' or '.join(identity)}")
    return AttributeRecord(names, _values(entry, keys), entry.line)


def _values(entry: Element, keys: dict[str, tuple[str, str | None]]) -> dict[str, Any]:
    values: dict[str, Any] = {name: default for name, default in keys.values() if default is not None}
    for data in entry.all("data"):
        key = data.attributes.get("key", "")
        values[keys[key][0] if key in keys else key] = data.text
    return values
