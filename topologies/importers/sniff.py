"""The format of a file, by its content."""

from __future__ import annotations

import re

from topologies.errors import BadInput
from topologies.importers.source import Source

_SPACE = re.compile(r"\s*")
_SKIPPED = (("<!--", "-->"), ("<?", "?>"))
_ROOT = re.compile(r"<(?:!DOCTYPE\s{1,9})?([A-Za-z_][\w.:-]{0,99})")
_ROOTS = {"nvidia_smi_log": "nvidia-smi-xml", "system": "nccl-xml", "graphs": "nccl-xml", "graphml": "graphml"}
_LINES = (
    ("nvidia-smi-topo", re.compile(r"^[ \t]*GPU\d+[ \t]+(?:X\b|NV\d|PIX|PXB|PHB|NODE|SYS|GPU\d|NIC\d|mlx|CPU)", re.M)),
    (
        "ibnetdiscover",
        re.compile(r'^(?:(?:Switch|Ca|Rt)\s+\d+\s+"|(?:switch|ca|sysimg)guid=0x|# Topology file:)', re.M),
    ),
    ("slurm-conf", re.compile(r"^[ \t]*(?:SwitchName|BlockName|BlockSizes)[ \t]*=", re.M | re.I)),
    ("slurm-yaml", re.compile(r"^[ \t]*-[ \t]+topology[ \t]*:", re.M)),
    ("topograph-yaml", re.compile(r"^(?:switches|blocks|capacity_blocks)[ \t]*:", re.M)),
    ("kubernetes-nodes", re.compile(r"^(?:kind[ \t]*:[ \t]*(?:Node)?List|items[ \t]*:)", re.M)),
)
_KEYS = (
    ("node-link", r'"(?:edges|links)"\s*:\s*\['),
    ("kubernetes-nodes", r'"items"\s*:\s*\['),
    ("topograph-json", r'"(?:provider|switches|blocks|capacity_blocks)"\s*:'),
    ("node-link", r'"nodes"\s*:\s*\['),
)


def sniff(source: Source) -> str:
    """The format that a file seems to be of.

    Raises
    ------
    BadInput: none that is read here.
    """
    start = source.text.lstrip()[:1]
    if start == "<":
        found = _ROOTS.get(_root(source.text))
    elif start == "{":
        found = next((kind for kind, key in _KEYS if re.search(key, source.text)), None)
    else:
        found = next((kind for kind, line in _LINES if line.search(source.text)), None)
    if found is None:
        raise BadInput(
            f"{source.name}: the content is of no format that is read: nvidia-smi topo -m, nvidia-smi -q -x, NCCL "
            "topology XML, ibnetdiscover, Slurm topology.conf or topology.yaml, topograph models, "
            "kubectl get nodes, GraphML, node-link JSON"
        )
    return found


def _root(text: str) -> str:
    """Name of the root element of an XML text; empty for other texts."""
    at, skipped = 0, True
    while skipped:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        skipped = False
        for begin, end in _SKIPPED:
            if text.startswith(begin, at) and (stop := text.find(end, at)) > 0:
                at, skipped = stop + len(end), True
    root = _ROOT.match(text, at)
    return root[1].rpartition(":")[2] if root else ""
