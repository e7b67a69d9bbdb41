"""Typed readings of a cluster graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx as nx


def kinds(graph: nx.Graph[str]) -> dict[str, str]:
    """Kind of each vertex."""
    return {vertex: data["kind"] for vertex, data in graph.nodes(data=True)}


def links(graph: nx.Graph[str]) -> Iterator[tuple[str, str, str]]:
    """Both ends and the fabric of each link."""
    for a, b, data in graph.edges(data=True):
        yield a, b, data["fabric"]


def is_healthy_device(data: dict[str, Any]) -> bool:
    """Whether the attributes are those of a device that may be used."""
    return bool(data["kind"] == "device" and data.get("healthy", True))
