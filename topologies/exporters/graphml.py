"""A cluster as GraphML, every attribute of the schema included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx

from topologies.files import to_plain
from topologies.writing import write_file


def to_graphml(graph: nx.Graph[str], path: str | Path) -> None:
    """Write a cluster; vertices and links are sorted, so that equal clusters are equal files.

    Places in a torus are written as ``0,1,2``, and devices that the graph defines as JSON in its attribute ``devices``.
    """
    data = to_plain(graph)
    plain: nx.Graph[str] = nx.Graph()
    if data["graph"]:
        plain.graph["devices"] = json.dumps(data["graph"]["devices"], sort_keys=True)
    for entry in data["nodes"]:
        plain.add_node(entry.pop("id"), **{key: _scalar(value) for key, value in entry.items()})
    for entry in data["edges"]:
        plain.add_edge(entry.pop("source"), entry.pop("target"), **entry)
    text = "\n".join(nx.generate_graphml(plain))
    write_file(path, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')


def _scalar(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value
