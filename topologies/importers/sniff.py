"""The format of a file, by its content."""

from __future__ import annotations

import re

from topologies.errors import BadInput
from topologies.importers.source import Source

_SPACE = re.compile(r"\s*")
_SKIPPED = (("<!--", "-->"), ("<?", "?>"))
_ROOT = re.compile(r"<(?:!DOCTYPE\s{1,9})?([A-Za-z_][\w.:-]{0,99})")
_ROOTS = {
    "nvidia_smi_log": "nvidia-smi-xml",
    "system": "nccl-xml",
    "graphs": "nccl-xml",
    "graphml": "graphml",
    "topology": "lstopo-xml",
}
_LINES = (
    (
        "rocm-topo",
        re.compile(
            r"^[= \t]*(?:Link Type|Hops|Weight) between two GPUs[= \t]*$|^[ \t]*(?:LINK TYPE|WEIGHT|HOPS) TABLE:?", re.M
        ),
    ),
    ("nvidia-smi-topo", re.compile(r"^[ \t]*GPU\d+[ \t]+(?:X\b|NV\d|PIX|PXB|PHB|NODE|SYS|GPU\d|NIC\d|mlx|CPU)", re.M)),
    (
        "ibnetdiscover",
        re.compile(r'^(?:(?:Switch|Ca|Rt)\s+\d+\s+"|(?:switch|ca|sysimg)guid=0x|# Topology file:)', re.M),
    ),
    ("ibnetdiscover-ports", re.compile(r"^[ \t]*(?:SW|CA)[ \t]+\d+[ \t]+\d+[ \t]+0x[0-9a-fA-F]+[ \t]+\d+x[ \t]", re.M)),
    ("iblinkinfo", re.compile(r"\][ \t]*==\([^)\n]{0,80}\)==>", re.M)),
    ("slurm-conf", re.compile(r"^[ \t]*(?:SwitchName|BlockName|BlockSizes)[ \t]*=", re.M | re.I)),
    ("slurm-yaml", re.compile(r"^[ \t]*-[ \t]+topology[ \t]*:", re.M)),
    ("topograph-yaml", re.compile(r"^(?:switches|blocks|capacity_blocks)[ \t]*:", re.M)),
    ("kubernetes-nodes", re.compile(r"^(?:kind[ \t]*:[ \t]*(?:Node|(?:Node)?List)[ \t]*$|items[ \t]*:)", re.M)),
)
_KEYS = (
    ("rocm-topo", r'"\(Topology\) Link type between|"bdf"\s*:'),
    ("node-link", r'"(?:edges|links)"\s*:\s*\['),
    ("kubernetes-nodes", r'"items"\s*:\s*\[|"kind"\s*:\s*"Node"'),
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
    elif start in ("{", "["):
        found = next((kind for kind, key in _KEYS if re.search(key, source.text)), None)
    else:
        found = next((kind for kind, line in _LINES if line.search(source.text)), None)
    if found is None:
        raise BadInput(
            f"{source.name}: the content is of no format that is read: nvidia-smi topo -m, nvidia-smi -q -x, "
            "rocm-smi --showtopo, amd-smi topology, NCCL or RCCL topology XML, lstopo XML, ibnetdiscover (-p), iblinkinfo, "
            "Slurm topology.conf or topology.yaml, topograph models, kubectl get nodes -o json, GraphML, node-link JSON"
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
