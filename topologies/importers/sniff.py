"""The format of a file, by its content."""

from __future__ import annotations

import re

from topologies.errors import BadInput
from topologies.importers.source import Source

_ROOT = re.compile(r"<([A-Za-z_][\w.:-]*)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_ROOTS = {"nvidia_smi_log": "nvidia-smi-xml", "system": "nccl-xml", "graphs": "nccl-xml", "graphml": "graphml"}
_LINES = (
    ("nvidia-smi-topo", re.compile(r"^\s*GPU\d+\s+(?:X\b|NV\d|PIX|PXB|PHB|NODE|SYS|GPU\d|NIC\d|mlx|CPU)", re.M)),
    (
        "ibnetdiscover",
        re.compile(r'^(?:(?:Switch|Ca|Rt)\s+\d+\s+"|(?:switch|ca|sysimg)guid=0x|# Topology file:)', re.M),
    ),
    ("slurm-conf", re.compile(r"^\s*(?:SwitchName|BlockName|BlockSizes)\s*=", re.M | re.I)),
    ("slurm-yaml", re.compile(r"^\s*-\s+topology\s*:", re.M)),
    ("topograph-yaml", re.compile(r"^(?:switches|blocks|capacity_blocks)\s*:", re.M)),
    ("kubernetes-nodes", re.compile(r"^(?:kind\s*:\s*(?:Node)?List|items\s*:)", re.M)),
)
_KEYS = (
    ("node-link", r'"nodes"\s*:\s*\['),
    ("kubernetes-nodes", r'"items"\s*:\s*\['),
    ("topograph-json", r'"(?:provider|switches|blocks|capacity_blocks)"\s*:'),
)


def sniff(source: Source) -> str:
    """The format that a file seems to be of.

    Raises
    ------
    BadInput: none that is read here.
    """
    start = _COMMENT.sub("", source.text[:100_000]).lstrip()
    found = None
    if start.startswith("<"):
        root = _ROOT.search(start)
        found = _ROOTS.get(root[1].rpartition(":")[2]) if root else None
    elif start.startswith("{"):
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
