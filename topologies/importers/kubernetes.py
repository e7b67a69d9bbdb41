"""``kubectl get nodes -o json`` (or yaml): the labels that topograph and NVIDIA's operators write on hosts.

============================================  =====================================================
``fabric.topograph.run/tier-N``               switch at tier N; 0 is the nearest to the host
``accelerator.topograph.run/domain``          scale-up domain, as has ``nvidia.com/gpu.clique``
``nvidia.com/gpu.product``, ``.../gpu.count`` product and number of the host's devices
============================================  =====================================================
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from topologies.importers.findings import Findings
from topologies.importers.plain import line_of, parse_json, parse_yaml
from topologies.importers.source import Source
from topologies.importers.tree import Tree

_TIER = re.compile(r"fabric\.topograph\.run/tier-(\d{1,2})")
_DOMAINS = ("accelerator.topograph.run/domain", "nvidia.com/gpu.clique")
_PRODUCT, _COUNT = "nvidia.com/gpu.product", "nvidia.com/gpu.count"
MAX_COUNT = 1024


def read(source: Source, host: str) -> Findings:
    """The fabric, domains and products that the labels of the hosts tell.

    Raises
    ------
    BadInput: not a list of nodes, or one whose labels tell nothing of the topology.
    """
    data = parse_json(source) if source.text.lstrip().startswith("{") else parse_yaml(source)
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise source.error(line_of(data), "a list of Kubernetes nodes has items")
    tree, above = Tree(source), dict[str, dict[str, None]]()
    for item in items:
        _add_host(source, item, tree, above)
    for switch, children in above.items():
        tree.add_switch(None, switch, children, [])
    return tree.findings("kubernetes-nodes")


def _add_host(source: Source, item: dict[str, Any], tree: Tree, above: dict[str, dict[str, None]]) -> None:
    metadata = item["metadata"] if isinstance(item.get("metadata"), dict) else {}
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise source.error(line_of(item), "a node lacks metadata.name")
    source.name_at(line_of(item), name)
    given = metadata.get("labels")
    labels = {key: value for key, value in given.items() if isinstance(value, str)} if isinstance(given, dict) else {}
    tiers = {int(found[1]): value for key, value in labels.items() if (found := _TIER.fullmatch(key))}
    chain = [tiers[tier] for tier in sorted(tiers)]
    if chain:
        tree.mention(line_of(item), chain[0])
        tree.add_hosts(line_of(item), chain[0], [name])
    for lower, upper in itertools.pairwise(chain):
        above.setdefault(upper, {})[lower] = None
    if domain := next((labels[key] for key in _DOMAINS if labels.get(key)), ""):
        tree.add_domain(line_of(item), domain, [name])
    if labels.get(_PRODUCT):
        tree.products[name] = labels[_PRODUCT]
    if (count := labels.get(_COUNT, "")).isdigit() and 1 <= int(count[:9]) <= MAX_COUNT:
        tree.counts[name] = int(count)
