"""Clusters from plain data, as scenario files write them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from topologies.builders.compose import join, mark_unhealthy
from topologies.builders.ethernet import fat_tree
from topologies.builders.nvlink import hgx, nvl72
from topologies.builders.torus import torus
from topologies.errors import BadInput, UnknownName
from topologies.files import load

BUILDERS: dict[str, Callable[..., nx.Graph[str]]] = {
    "hgx": hgx,
    "nvl72": nvl72,
    "torus": torus,
    "fat_tree": fat_tree,
}
_SOURCES = ("builder", "file", "join")


def build(spec: Mapping[str, Any], folder: str | Path = ".") -> nx.Graph[str]:
    """Make a cluster from its description.

    Parameters
    ----------
    spec: ``{"builder": name, ...its arguments}``, ``{"file": path}`` or ``{"join": [spec, ...]}``; each may add
        ``"unhealthy": [vertex, ...]``.
    folder: where relative paths start.

    >>> len(build({"builder": "nvl72", "racks": 2, "device": "gb200", "unhealthy": ["rack1/host17"]}))
    224

    Raises
    ------
    UnknownName: no such builder, or no such argument of it.
    BadInput: an argument is missing or out of range.
    """
    if not isinstance(spec, Mapping):
        raise BadInput(f"a cluster is described by a mapping such as {{builder: nvl72, racks: 2}}, not by {spec!r:.60}")
    rest = {key: value for key, value in spec.items() if key != "unhealthy"}
    given = [key for key in _SOURCES if key in rest]
    if len(given) != 1:
        raise BadInput(
            f"a cluster needs exactly one of {', '.join(_SOURCES)}; it has {', '.join(given) or 'none of them'}"
        )
    graph = _from(given[0], rest, Path(folder))
    return mark_unhealthy(graph, spec["unhealthy"]) if spec.get("unhealthy") else graph


def _from(source: str, spec: dict[str, Any], folder: Path) -> nx.Graph[str]:
    value = spec.pop(source)
    if source == "builder":
        return _call(value, spec)
    if spec:
        raise BadInput(f"a cluster from {source} takes no {', '.join(map(str, spec))}; only `unhealthy` beside it")
    if source == "file":
        if not isinstance(value, str | Path):
            raise BadInput(f"file is {value!r:.60}; it must be a path")
        return load(folder / value)
    if not isinstance(value, list | tuple):
        raise BadInput(f"join is {value!r:.60}; it must be a list of clusters")
    return join(*(build(part, folder) for part in value))


def _call(name: object, arguments: dict[str, Any]) -> nx.Graph[str]:
    builder = BUILDERS.get(name) if isinstance(name, str) else None
    if builder is None:
        raise UnknownName("builder", str(name)[:100], BUILDERS)
    parameters = inspect.signature(builder).parameters
    for key in arguments:
        if key not in parameters:
            raise UnknownName(f"argument of builder {name}", str(key)[:100], parameters)
    missing = [key for key, value in parameters.items() if value.default is value.empty and key not in arguments]
    if missing:
        raise BadInput(f"builder {name} needs {', '.join(missing)}")
    return builder(**arguments)
