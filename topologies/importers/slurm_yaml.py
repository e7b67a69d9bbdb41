"""Slurm's ``topology.yaml``: a list of topologies, each a tree of switches or a set of blocks.

::

    - topology: fabric
      cluster_default: true
      tree:
        switches:
          - {switch: spine, children: "leaf[1-2]"}
          - {switch: leaf1, nodes: "node[01-16]"}
    - topology: racks
      block:
        block_sizes: [18]
        blocks:
          - {block: rack1, nodes: "node[01-18]"}

Trees tell of switches, blocks of scale-up domains; a file that has one of each tells of both.
"""

from __future__ import annotations

from typing import Any

from topologies.importers.findings import Findings
from topologies.importers.hostlists import expand
from topologies.importers.plain import line_of, parse_yaml
from topologies.importers.source import Source
from topologies.importers.tree import Tree


def read(source: Source, host: str) -> Findings:
    """The fabric and the scale-up domains of a topology.yaml.

    Raises
    ------
    BadInput: not such a file; names the line.
    """
    data = parse_yaml(source)
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise source.error(line_of(data), "a topology.yaml is a list of topologies (- topology: name ...)")
    tree = Tree(source)
    for shape, add in (("tree", _add_switches), ("block", _add_blocks)):
        having = [entry for entry in data if isinstance(entry.get(shape), dict)]
        chosen = next(
            (entry for entry in having if entry.get("cluster_default") == "true"), having[0] if having else {}
        )
        if len(having) > 1:
            name = str(chosen.get("topology"))[:60]
            tree.notes.assume(f"{source.name}: of {len(having)} topologies of kind {shape}, {name!r} is taken")
        if chosen:
            add(source, chosen[shape], tree)
    if not any(shape in entry for entry in data for shape in ("tree", "block")):
        kinds = sorted({str(key)[:20] for entry in data for key in entry} - {"topology", "cluster_default"})
        raise source.error(line_of(data), f"no topology is a tree or a block; found: {', '.join(kinds) or 'nothing'}")
    return tree.findings("slurm-yaml")


def _add_switches(source: Source, body: dict[str, Any], tree: Tree) -> None:
    for entry in _entries(source, body, "switches"):
        line = line_of(entry)
        children = _names(source, entry, "children")
        tree.add_switch(line, _name(source, entry, "switch"), children, _names(source, entry, "nodes"))


def _add_blocks(source: Source, body: dict[str, Any], tree: Tree) -> None:
    for entry in _entries(source, body, "blocks"):
        tree.add_domain(line_of(entry), _name(source, entry, "block"), _names(source, entry, "nodes"))


def _entries(source: Source, body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = body.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise source.error(line_of(body), f"{key} must be a list of mappings")
    return found


def _name(source: Source, entry: dict[str, Any], key: str) -> str:
    name = entry.get(key)
    if not isinstance(name, str) or not name:
        raise source.error(line_of(entry), f"an entry lacks its name ({key}: ...)")
    return name


def _names(source: Source, entry: dict[str, Any], key: str) -> list[str]:
    value = entry.get(key)
    if value is None:
        return []
    if not isinstance(value, str):
        raise source.error(line_of(value) or line_of(entry), f"{key} must be a hostlist such as node[01-16]")
    return expand(source, line_of(value), value)
