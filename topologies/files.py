"""Cluster files: the node-link JSON of networkx with a version, strict when read, sorted when written.

::

    {"schema_version": 1, "directed": false, "multigraph": false,
     "graph": {"devices": {"my-card": {"like": "l40s", "hbm_bytes": "96GB"}}},
     "nodes": [{"id": "rack0/host0", "kind": "host", "dram_bytes": "2TB"}, ...],
     "edges": [{"source": "rack0/host0", "target": "leaf0", "fabric": "scale_out",
                "bandwidth_bytes_per_s": "400Gbit/s"}, ...]}

Quantities may be bare SI numbers or carry a unit. ``links`` is read for ``edges``, as older networkx writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from topologies import units
from topologies.cluster import validate
from topologies.errors import BadCluster, BadInput, UnknownName
from topologies.hardware import Device
from topologies.naming import in_order
from topologies.schema import LINK_ATTRIBUTES, VERTEX_ATTRIBUTES, Attribute
from topologies.writing import write_file

SCHEMA_VERSION = 1
MAX_BYTES = 128 * 2**20
"""Largest cluster file [bytes]; 10,008 devices take 7 MB."""
MAX_VALUES = 5_000_000
"""Most values in it; 10,008 devices take 300,000."""
_KEYS = ("schema_version", "directed", "multigraph", "graph", "nodes", "edges", "links")
_HEAD = ("schema_version", "directed", "multigraph", "graph")
_READERS: dict[str, Callable[[float | int | str], float]] = {
    "bytes": units.size,
    "bytes/s": units.bandwidth,
    "s": units.seconds,
}


def load(path: str | Path) -> nx.Graph[str]:
    """Read and check a cluster file.

    Raises
    ------
    BadInput: the file cannot be read, or is not JSON.
    BadCluster: its content is not a cluster; the message names the file and the place.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BadInput(
                f"the cluster file {str(path)!r} is larger than {MAX_BYTES >> 20} MiB, the most that is read"
            )
        values = sum(map(raw.count, (b"[", b"{", b",")))
        if values > MAX_VALUES:
            raise BadInput(f"the cluster file {str(path)!r} has about {values:,} values; {MAX_VALUES:,} is the most")
        data = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_doubles)
    except OSError as error:
        raise BadInput(f"cannot read the cluster file {str(path)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"the cluster file {str(path)!r} is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the cluster file {str(path)!r} is not JSON: {error}") from error
    try:
        return validate(from_plain(data))
    except BadCluster as error:
        raise BadCluster(f"{path}: {error}") from None


def save(graph: nx.Graph[str], path: str | Path) -> None:
    """Write a cluster; vertices and links are sorted, and only what the schema knows is written."""
    data = to_plain(graph)
    lines = [f"{json.dumps(key)}: {json.dumps(data[key], sort_keys=True)}," for key in _KEYS if key in _HEAD]
    for key, end in (("nodes", "],"), ("edges", "]")):
        lines += [f'"{key}": [', ",\n".join(json.dumps(entry) for entry in data[key]), end]
    write_file(path, "\n".join(["{", *lines, "}", ""]))


def to_plain(graph: nx.Graph[str]) -> dict[str, Any]:
    """The cluster as data that JSON can hold, checked and sorted."""
    checked = validate(graph)
    rank = {vertex: index for index, vertex in enumerate(in_order(checked))}
    nodes = [{"id": vertex, **_known(checked.nodes[vertex], VERTEX_ATTRIBUTES)} for vertex in rank]
    pairs = sorted(sorted((rank[a], rank[b])) for a, b in checked.edges)
    names = list(rank)
    edges = [
        {"source": names[a], "target": names[b], **_known(checked.edges[names[a], names[b]], LINK_ATTRIBUTES)}
        for a, b in pairs
    ]
    own = checked.graph.get("devices") or {}
    devices = {name: one.plain() if isinstance(one, Device) else dict(one) for name, one in own.items()}
    head = {"schema_version": SCHEMA_VERSION, "directed": False, "multigraph": False}
    return {**head, "graph": {"devices": devices} if devices else {}, "nodes": nodes, "edges": edges}


def from_plain(data: Any) -> nx.Graph[str]:
    """The graph of a cluster file's content, not yet validated."""
    if not isinstance(data, Mapping):
        raise BadCluster("a cluster file holds an object with schema_version, nodes and edges")
    for key in data:
        if key not in _KEYS:
            raise UnknownName("key of the cluster file", str(key)[:100], _KEYS)
    if data.get("schema_version") != SCHEMA_VERSION:
        raise BadCluster(f"schema_version is {data.get('schema_version')!r:.60}; this version reads {SCHEMA_VERSION}")
    if data.get("directed") or data.get("multigraph"):
        raise BadCluster("the cluster file is of a directed graph or a multigraph; links are duplex and simple")
    graph: nx.Graph[str] = nx.Graph()
    graph.graph.update(_graph_attributes(data.get("graph", {})))
    for index, entry in enumerate(_list(data, "nodes")):
        _add_vertex(graph, f"nodes[{index}]", entry)
    edges = "links" if "links" in data and "edges" not in data else "edges"
    for index, entry in enumerate(_list(data, edges)):
        _add_link(graph, f"{edges}[{index}]", entry)
    return graph


def _graph_attributes(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise BadCluster("`graph` of the cluster file must be an object; it may hold `devices`")
    for key in given:
        if key != "devices":
            raise UnknownName("key of `graph` in the cluster file", str(key)[:100], ["devices"])
    return dict(given)


def _add_vertex(graph: nx.Graph[str], where: str, entry: Any) -> None:
    values = _entry(where, entry, ("id",), VERTEX_ATTRIBUTES)
    name = values.pop("id")
    if not isinstance(name, str):
        raise BadCluster(f"{where}: id is {name!r:.60}; it must be a string")
    if name in graph:
        raise BadCluster(f"{where}: vertex {name!r} is listed twice")
    graph.add_node(name, **values)


def _add_link(graph: nx.Graph[str], where: str, entry: Any) -> None:
    values = _entry(where, entry, ("source", "target"), LINK_ATTRIBUTES)
    ends = values.pop("source"), values.pop("target")
    for end in ends:
        if not isinstance(end, str) or end not in graph:
            raise BadCluster(f"{where}: no vertex is named {end!r:.100}")
    if graph.has_edge(*ends):
        raise BadCluster(f"{where}: link {ends[0]!r} - {ends[1]!r} is listed twice; add their bandwidths")
    graph.add_edge(*ends, **values)


def _entry(where: str, entry: Any, identity: tuple[str, ...], table: Mapping[str, Attribute]) -> dict[str, Any]:
    """One vertex or link with its quantities read; an unknown key is an error."""
    if not isinstance(entry, Mapping) or not all(key in entry for key in identity):
        raise BadCluster(f"{where} must be an object with {' and '.join(identity)}")
    values = {}
    for key, value in entry.items():
        if key not in identity and key not in table:
            raise UnknownName(f"key of {where}", str(key)[:100], [*identity, *table])
        reader = _READERS.get(table[key].unit) if key in table and isinstance(value, str) else None
        try:
            values[key] = reader(value) if reader else value
        except BadInput as error:
            raise BadCluster(f"{where}: {key}: {error}") from error
    return values


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    if not isinstance(value, list):
        raise BadCluster(f"{key} of the cluster file must be a list")
    return value


def _known(data: Mapping[str, Any], table: Mapping[str, Attribute]) -> dict[str, Any]:
    return {key: data[key] for key in table if key in data}


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadCluster(f"key {key!r:.100} stands twice in one object of the cluster file")
        found[key] = value
    return found
