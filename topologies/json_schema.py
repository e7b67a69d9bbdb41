"""What a cluster may look like in a file, as JSON Schema: a builder's arguments, a file, a join, or vertices and links.

Derived from the builders' signatures and from the table in :mod:`topologies.schema`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from topologies.builders import BUILDERS
from topologies.schema import LINK_ATTRIBUTES, VERTEX_ATTRIBUTES, Attribute

_AMOUNT = {"type": ["number", "string"]}
_DEVICE = {"type": ["string", "object"]}
#: JSON's words for the annotations of builders' arguments, told by what stands first in them.
_TYPES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "Size": _AMOUNT,
    "str": _DEVICE,
    "Sequence[int]": {"type": "array", "items": {"type": "integer"}},
}
_OF_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "name": {"type": "string"},
    "flag": {"type": "boolean"},
    "amount": _AMOUNT,
    "count list": {"type": "array", "items": {"type": "integer"}},
}


def cluster_schema() -> dict[str, Any]:
    """JSON Schema of a scenario's ``cluster``, and of a cluster file under ``$defs.graph``."""
    unhealthy = {"type": "array", "items": {"type": "string"}, "description": "vertices that carry nothing"}
    sources = {
        "file": {"type": "string", "description": "path of a cluster file, as cluster import and cluster export write it"},
        "join": {"type": "array", "items": {"$ref": "#"}, "description": "clusters side by side"},
    }
    ways = [_builder(name, unhealthy) for name in BUILDERS]
    ways += [_object({key: way, "unhealthy": unhealthy}, [key]) for key, way in sources.items()]
    ways.append(_object({"graph": {"$ref": "#/$defs/graph"}}, ["graph"]))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cluster",
        "anyOf": ways,
        "$defs": {"graph": _graph()},
    }


def _builder(name: str, unhealthy: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(BUILDERS[name]).parameters
    arguments = {
        key: _of_annotation(one.annotation) | ({} if one.default in (one.empty, None) else {"default": one.default})
        for key, one in parameters.items()
    }
    needed = [key for key, one in parameters.items() if one.default is one.empty]
    return _object({"builder": {"const": name}, **arguments, "unhealthy": unhealthy}, ["builder", *needed])


def _of_annotation(annotation: str) -> dict[str, Any]:
    first, *others = annotation.split(" | ")
    found = _TYPES[first]
    return {"anyOf": [found, {"type": "null"}]} if "None" in others else found


def _graph() -> dict[str, Any]:
    vertices = _object({"id": {"type": "string"}, **_attributes(VERTEX_ATTRIBUTES)}, ["id", *_needed(VERTEX_ATTRIBUTES)])
    ends = {end: {"type": "string", "description": "id of a vertex"} for end in ("source", "target")}
    links = _object(ends | _attributes(LINK_ATTRIBUTES), [*ends, *_needed(LINK_ATTRIBUTES)])
    devices = {"type": "object", "description": "devices of one's own, by name; like: h200 starts from one of the catalog"}
    parts: dict[str, Any] = {
        "schema_version": {"const": 1},
        "directed": {"const": False},
        "multigraph": {"const": False},
        "graph": _object({"devices": devices}, []),
        "nodes": {"type": "array", "items": vertices},
        "edges": {"type": "array", "items": links},
    }
    return _object(parts, ["schema_version", "nodes", "edges"])


def _attributes(table: Mapping[str, Attribute]) -> dict[str, Any]:
    return {name: _OF_ATTRIBUTES[one.type] | {"description": _told(one)} for name, one in table.items()}


def _told(one: Attribute) -> str:
    return f"{one.meaning} [{one.unit}]" if one.unit else one.meaning


def _needed(table: Mapping[str, Attribute]) -> list[str]:
    """Attributes that every owner must have: those of every kind of vertex or link, without a default."""
    everywhere = max(len(one.owners) for one in table.values())
    return [name for name, one in table.items() if one.default is ... and len(one.owners) == everywhere]


def _object(properties: Mapping[str, Any], required: Iterable[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
