"""A cluster as schedulers want it: a tree of switches over hosts, and blocks of hosts that scale up together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import networkx as nx

from topologies.cluster import validate
from topologies.domains import scale_up_domains
from topologies.errors import BadInput
from topologies.naming import in_order
from topologies.views import kinds, links

_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_LAST_NUMBER = re.compile(r"(.*?)([0-9]{1,9})")


def to_slurm(graph: nx.Graph[str], plugin: Literal["tree", "block"] = "tree") -> str:
    """The ``topology.conf`` of a cluster; ``/`` in names becomes ``-``.

    Parameters
    ----------
    plugin: tree for topology/tree (switches), block for topology/block (scale-up domains of several hosts).

    >>> import topologies
    >>> print(to_slurm(topologies.fat_tree(4, hosts_per_leaf=2)))
    SwitchName=leaf0 Nodes=rack0-host[0-1]
    SwitchName=leaf1 Nodes=rack0-host[2-3]
    SwitchName=top Switches=leaf[0-1]
    <BLANKLINE>

    Raises
    ------
    BadInput: the cluster has no scale-out fabric, or no domain of several hosts.
    """
    checked = validate(graph)
    if plugin == "block":
        return _blocks_conf(_blocks(checked))
    if plugin != "tree":
        raise BadInput(f"plugin is {plugin!r:.40}; it must be tree or block")
    leaves = _leaves(checked)
    lines = [f"SwitchName={name} Nodes={fold(hosts)}" for name, hosts in leaves.items()]
    if len(leaves) > 1:
        lines.append(f"SwitchName={_top(leaves)} Switches={fold(leaves)}")
    return "\n".join([*lines, ""])


def to_topograph(graph: nx.Graph[str]) -> str:
    """The topograph model of a cluster: a block for the hosts of each scale-up domain on each leaf.

    >>> import topologies
    >>> print(to_topograph(topologies.nvl72(racks=1)))
    switches:
      leaf0: {}
    blocks:
    - switch: leaf0
      nodes: ["rack0-host[0-17]"]
      annotations:
        accelerator.topology.test/domain: rack0
    <BLANKLINE>
    """
    checked = validate(graph)
    leaves, blocks = _leaves(checked), _blocks(checked)
    of_host = {host: label for label, hosts in blocks.items() for host in hosts}
    lines = ["switches:"]
    if len(leaves) > 1:
        lines += [f"  {_top(leaves)}:", "    switches:", *(f"    - {_quoted(name)}" for name in leaves)]
    lines += [f"  {_quoted(name)}: {{}}" for name in leaves]
    lines.append("blocks:")
    for name, hosts in leaves.items():
        groups: dict[str, list[str]] = {}
        for host in hosts:
            groups.setdefault(of_host.get(host, ""), []).append(host)
        for label, members in groups.items():
            lines += [f"- switch: {_quoted(name)}", f'  nodes: ["{fold(members)}"]']
            if label:
                lines += ["  annotations:", f"    accelerator.topology.test/domain: {_quoted(label)}"]
    return "\n".join([*lines, ""])


def fold(names: Iterable[str]) -> str:
    """Names as a hostlist.

    >>> fold(["n1", "n2", "n3", "login", "n10"])
    'login,n[1-3,10]'
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for name in in_order(set(names)):
        found = _LAST_NUMBER.fullmatch(name)
        padded = found is not None and found[2] != str(int(found[2]))
        key = (found[1], len(found[2]) if padded else 0) if found else (name, -1)
        groups.setdefault(key, []).append(int(found[2]) if found else 0)
    parts = []
    for (stem, width), numbers in groups.items():
        spans = _spans(sorted(numbers), max(width, 0))
        alone = len(numbers) == 1
        parts.append(stem if width < 0 else f"{stem}{spans}" if alone else f"{stem}[{spans}]")
    return ",".join(in_order(parts))


def _spans(numbers: list[int], width: int) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{a:0{width}d}" if a == b else f"{a:0{width}d}-{b:0{width}d}" for a, b in spans)


def _leaves(graph: nx.Graph[str]) -> dict[str, list[str]]:
    """Hosts under each leaf; leaves that serve the same hosts are one, named by the first."""
    kind_of, leaves_of = kinds(graph), dict[str, set[str]]()
    for pair in ((a, b) for a, b, fabric in links(graph) if fabric == "scale_out"):
        for inner, outer in (pair, pair[::-1]):
            if kind_of[outer] == "switch" and kind_of[inner] in ("device", "host"):
                host = graph.nodes[inner]["host"] if kind_of[inner] == "device" else inner
                leaves_of.setdefault(host, set()).add(outer)
    if not leaves_of:
        raise BadInput("the cluster has no scale-out fabric; a scheduler needs no topology for it")
    serving: dict[frozenset[str], list[str]] = {}
    for host in in_order(leaves_of):
        serving.setdefault(frozenset(leaves_of[host]), []).append(_named(host))
    by_leaf = {in_order(leaves)[0]: hosts for leaves, hosts in serving.items()}
    named = {_named(leaf): by_leaf[leaf] for leaf in in_order(by_leaf)}
    if len(named) < len(by_leaf) or len({host for hosts in named.values() for host in hosts}) < len(leaves_of):
        raise BadInput("two hosts or two leaves have one name once / is written as -; rename one")
    return named


def _blocks(graph: nx.Graph[str]) -> dict[str, list[str]]:
    """Hosts of each scale-up domain that joins several."""
    return {
        _named(domain.name): [_named(host) for host in domain.host_names]
        for domain in scale_up_domains(graph)
        if len(domain.host_names) > 1
    }


def _blocks_conf(blocks: dict[str, list[str]]) -> str:
    if not blocks:
        raise BadInput("no scale-up domain joins several hosts; topology/block has nothing to say, plugin='tree' has")
    lines = [f"BlockName={name} Nodes={fold(hosts)}" for name, hosts in blocks.items()]
    return "\n".join([*lines, f"BlockSizes={min(len(hosts) for hosts in blocks.values())}", ""])


def _top(leaves: Iterable[str]) -> str:
    """A name for what joins the leaves that none of them has."""
    taken, name = set(leaves), "top"
    while name in taken:
        name += "_"
    return name


def _named(name: str) -> str:
    return _NAME.sub("-", name)


def _quoted(name: str) -> str:
    """A name as YAML, quoted where it would be read as something else."""
    return name if re.fullmatch(r"[A-Za-z_][\w.-]*[A-Za-z0-9_]", name) else f'"{name}"'
