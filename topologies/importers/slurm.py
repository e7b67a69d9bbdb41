"""Slurm's ``topology.conf``: switches with their hosts (topology/tree), or blocks of hosts (topology/block).

::

    SwitchName=leaf1 Nodes=node[01-16]
    SwitchName=leaf2 Nodes=node[17-32]
    SwitchName=spine Switches=leaf[1-2]

    BlockName=rack1 Nodes=node[01-18]
    BlockSizes=18

A switch of the tree is a switch of the fabric; a block is a scale-up domain. No speeds are told.
"""

from __future__ import annotations

from collections.abc import Iterator

from topologies.importers.findings import Findings
from topologies.importers.hostlists import expand
from topologies.importers.source import Source
from topologies.importers.tree import Tree

_SWITCH_KEYS = frozenset({"switchname", "switches", "nodes", "linkspeed"})
_BLOCK_KEYS = frozenset({"blockname", "nodes"})


def read(source: Source, host: str) -> Findings:
    """The fabric, or the scale-up domains, of a topology.conf.

    Raises
    ------
    BadInput: an unknown parameter, a hostlist that is none, or a circle of switches; names the line.
    """
    tree = Tree(source)
    for number, line in _statements(source):
        _take(source, number, _pairs(source, number, line), tree)
    return tree.findings("slurm-conf")


def _statements(source: Source) -> Iterator[tuple[int, str]]:
    """Lines without comments, continued lines joined."""
    begun, start = "", 0
    for number, text in source.lines():
        line = text.partition("#")[0].rstrip()
        start = start or number
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        if (whole := (begun + line).strip()) != "":
            yield start, whole
        begun, start = "", 0
    if begun.strip():
        yield start, begun.strip()


def _pairs(source: Source, number: int, line: str) -> dict[str, str]:
    """The parameters of a line by their names in small letters."""
    pairs: dict[str, str] = {}
    for word in " ".join(line.split()).replace(" =", "=").replace("= ", "=").split():
        key, equals, value = word.partition("=")
        if not (key.isascii() and key.isalpha() and equals and value) or key.lower() in pairs:
            raise source.error(number, f"{word[:60]!r} is not Name=value, or stands twice")
        pairs[key.lower()] = value
    return pairs


def _take(source: Source, number: int, pairs: dict[str, str], tree: Tree) -> None:
    keys = pairs.keys()
    if "switchname" in keys and keys <= _SWITCH_KEYS:
        children = expand(source, number, pairs["switches"]) if "switches" in keys else []
        hosts = expand(source, number, pairs["nodes"]) if "nodes" in keys else []
        tree.add_switch(number, pairs["switchname"], children, hosts)
        if "linkspeed" in keys:
            tree.notes.assume(f"{source.name}: LinkSpeed has no unit in Slurm and is not read")
    elif "blockname" in keys and keys <= _BLOCK_KEYS:
        tree.add_domain(number, pairs["blockname"], expand(source, number, pairs.get("nodes", "")))
    elif keys != {"blocksizes"}:
        odd = next(iter(keys - _SWITCH_KEYS - _BLOCK_KEYS), next(iter(keys)))
        raise source.error(
            number, f"parameter {odd[:40]!r} is not known here; SwitchName, Switches, Nodes, BlockName, BlockSizes are"
        )
