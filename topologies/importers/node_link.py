"""Node-link JSON as :func:`networkx.node_link_data` writes it, with the attributes of any user."""

from __future__ import annotations

from typing import Any

from topologies.cluster import validate
from topologies.errors import BadInput
from topologies.files import from_plain
from topologies.importers.attributes import AttributeRecord
from topologies.importers.findings import Findings
from topologies.importers.foreign import graph_of
from topologies.importers.plain import parse_json
from topologies.importers.source import Source


def read(source: Source, host: str) -> Findings:
    """A cluster, or a bare fabric, from a node-link file; a cluster file of rackplan is read as strictly as ever.

    Raises
    ------
    BadInput: not such a file; names the place in it.
    """
    data = parse_json(source)
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        raise source.error(None, "a node-link file is an object with nodes and edges")
    if "schema_version" in data:
        try:
            return Findings(source.name, "node-link", graph=validate(from_plain(data)))
        except (BadInput, TypeError) as error:
            raise source.error(None, str(error)) from error
    key = "edges" if "edges" in data else "links"
    edges = data.get(key, [])
    if not isinstance(edges, list):
        raise source.error(None, f"{key} must be a list")
    vertices = [_record(source, entry, ("id",), f"nodes[{index}]") for index, entry in enumerate(data["nodes"])]
    links = [_record(source, entry, ("source", "target"), f"{key}[{index}]") for index, entry in enumerate(edges)]
    attributes = data.get("graph")
    return graph_of(source, "node-link", attributes if isinstance(attributes, dict) else {}, vertices, links)


def _record(source: Source, entry: Any, identity: tuple[str, ...], where: str) -> AttributeRecord:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str | int) for key in identity):
        raise source.error(None, f"{where} must be an object with {' and '.join(identity)}")
    rest = {key: value for key, value in entry.items() if key not in identity and key != "key"}
    return AttributeRecord(tuple(str(entry[key]) for key in identity), rest, None, where)
