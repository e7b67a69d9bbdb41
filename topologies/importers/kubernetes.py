"""``kubectl get nodes -o json`` (or yaml), or one node of it: labels and capacities of hosts.

============================================  =====================================================================
``fabric.topograph.run/tier-N``               switch at tier N; 0 is the nearest to the host
``topology.k8s.aws/network-node-layer-N``     AWS; the layer of the highest number is the nearest to the host
``cloud.google.com/gce-topology-*``           GKE: block and subblock, the nearest
``oci.oraclecloud.com/host.*_id``             OCI: rack or local block, network block, HPC island
``backend.coreweave.cloud/*``                 CoreWeave: leaf group, superpod
``accelerator.topograph.run/domain``          scale-up domain, as ``nvidia.com/gpu.clique`` and AWS's UltraServer
``nvidia.com/gpu.product``, ``.memory``       product and memory [MiB] of the host's devices; of GKE and AMD likewise
``status.capacity``                           the number of devices, as ``nvidia.com/gpu.count``
============================================  =====================================================================
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from topologies.importers.findings import Findings, listed
from topologies.importers.plain import line_of, parse_json, parse_yaml
from topologies.importers.source import Source
from topologies.importers.tree import Tree

_TIER = re.compile(r"fabric\.topograph\.run/tier-(\d{1,2})")
_LAYER = re.compile(r"topology\.k8s\.aws/network-node-layer-(\d{1,2})")
#: Labels of one cloud, the nearest to the host first.
_CHAINS = (
    ("cloud.google.com/gce-topology-subblock", "cloud.google.com/gce-topology-block"),
    ("topology.gke.io/rack", "topology.gke.io/cluster"),
    (
        "oci.oraclecloud.com/host.rack_id",
        "oci.oraclecloud.com/host.network_block_id",
        "oci.oraclecloud.com/host.hpc_island_id",
    ),
    (
        "oci.oraclecloud.com/rdma.local_block_id",
        "oci.oraclecloud.com/rdma.network_block_id",
        "oci.oraclecloud.com/rdma.hpc_island_id",
    ),
    ("backend.coreweave.cloud/leafgroup", "backend.coreweave.cloud/superpod"),
    ("ib.coreweave.cloud/leafgroup", "ib.coreweave.cloud/superpod"),
)
_DOMAINS = ("accelerator.topograph.run/domain", "nvidia.com/gpu.clique", "topology.k8s.aws/ultraserver-id")
_PRODUCTS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "beta.amd.com/gpu.product-name",
    "gpu.nvidia.com/model",
    "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-tpu-accelerator",
)
#: GKE's names of products that say less than they mean.
_GKE_PRODUCTS = {"nvidia-tesla-a100": "nvidia a100 40gb"}
_COUNTS = ("nvidia.com/gpu.count", "cloud.google.com/gke-accelerator-count", "gpu.nvidia.com/count")
_CAPACITIES = (
    *("nvidia.com/gpu", "amd.com/gpu", "google.com/tpu", "aws.amazon.com/neurondevice", "aws.amazon.com/neuron"),
    *("habana.ai/gaudi", "gpu.intel.com/i915", "gpu.intel.com/xe", "huawei.com/Ascend910"),
)
_MEBIBYTES, _VRAM = "nvidia.com/gpu.memory", ("amd.com/gpu.vram", "beta.amd.com/gpu.vram")
_INSTANCE = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
#: Products of instances of clouds whose nodes bear no label of a product.
_INSTANCES = {
    "p4d.24xlarge": "a100-40gb",
    "p4de.24xlarge": "a100",
    "p5.48xlarge": "h100",
    "p5e.48xlarge": "h200",
    "p5en.48xlarge": "h200",
    "p6-b200.48xlarge": "b200",
    "p6-b300.48xlarge": "b300",
    "p6e-gb200.36xlarge": "gb200",
    "trn2.48xlarge": "trainium2",
    "trn2u.48xlarge": "trainium2",
    "Standard_ND96asr_v4": "a100-40gb",
    "Standard_ND96amsr_A100_v4": "a100",
    "Standard_ND96isr_H100_v5": "h100",
    "Standard_ND96isr_H200_v5": "h200",
    "Standard_ND96isr_MI300X_v5": "mi300x",
    "Standard_ND128isr_NDR_GB200_v6": "gb200",
    "a2-highgpu-8g": "a100-40gb",
    "a2-ultragpu-8g": "a100",
    "a3-highgpu-8g": "h100",
    "a3-megagpu-8g": "h100",
    "a3-ultragpu-8g": "h200",
    "a4-highgpu-8g": "b200",
    "a4x-highgpu-4g": "gb200",
    "BM.GPU.H100.8": "h100",
    "BM.GPU.H200.8": "h200",
    "BM.GPU.B200.8": "b200",
    "BM.GPU.A100-v2.8": "a100",
    "BM.GPU4.8": "a100-40gb",
    "BM.GPU.MI300X.8": "mi300x",
    "BM.GPU.GB200.4": "gb200",
}
MAX_COUNT = 1024
_CORE = "core"
"""Name of the switch above the highest that labels name."""


def read(source: Source, host: str) -> Findings:
    """The fabric, domains and products that the labels of the hosts tell.

    Raises
    ------
    BadInput: not a list of nodes, or one whose labels tell nothing of the topology.
    """
    data = parse_json(source) if source.text.lstrip()[:1] in "[{" else parse_yaml(source)
    items = data.get("items") if isinstance(data, dict) else data
    if isinstance(data, dict) and data.get("kind") == "Node":
        items = [data]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise source.error(line_of(data), "a list of Kubernetes nodes has items")
    tree, above, tops = Tree(source), dict[str, dict[str, None]](), dict[str, None]()
    for item in items:
        _add_host(source, item, tree, above, tops)
    highest = [switch for switch in tops if not any(switch in children for children in above.values())]
    if len(highest) > 1 and _CORE not in above and _CORE not in tops:
        above[_CORE] = dict.fromkeys(highest)
        tree.notes.assume(
            f"{source.name}: no label tells what joins {listed(highest)}; one switch above them is assumed"
        )
    for switch, children in above.items():
        tree.add_switch(None, switch, children, [])
    return tree.findings("kubernetes-nodes")


def _add_host(
    source: Source, item: dict[str, Any], tree: Tree, above: dict[str, dict[str, None]], tops: dict[str, None]
) -> None:
    metadata = item["metadata"] if isinstance(item.get("metadata"), dict) else {}
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise source.error(line_of(item), "a node lacks metadata.name")
    source.name_at(line_of(item), name)
    given = metadata.get("labels")
    labels = {key: value for key, value in given.items() if isinstance(value, str)} if isinstance(given, dict) else {}
    chain = _chain(labels)
    if chain:
        tree.mention(line_of(item), chain[0])
        tree.add_hosts(line_of(item), chain[0], [name])
        tops[chain[-1]] = None
    for lower, upper in itertools.pairwise(chain):
        above.setdefault(upper, {})[lower] = None
    if domain := next((labels[key] for key in _DOMAINS if labels.get(key)), ""):
        tree.add_domain(line_of(item), domain, [name])
    if product := _product(labels):
        tree.products[name] = product
    if count := _count(labels, item.get("status")):
        tree.counts[name] = count
    if memory := _memory(labels):
        tree.memories[name] = memory


def _chain(labels: Mapping[str, str]) -> list[str]:
    """The switches above a host, the nearest first; names that repeat upwards are told apart by their tier."""
    tiers = {int(found[1]): value for key, value in labels.items() if value and (found := _TIER.fullmatch(key))}
    layers = {-int(found[1]): value for key, value in labels.items() if value and (found := _LAYER.fullmatch(key))}
    cloud = next((keys for keys in _CHAINS if any(labels.get(key) for key in keys)), ())
    chain = [tiers[tier] for tier in sorted(tiers)] or [layers[layer] for layer in sorted(layers)]
    chain = chain or [labels[key] for key in cloud if labels.get(key)]
    return [value if value not in chain[:at] else f"{value}-tier{at}" for at, value in enumerate(chain)]


def _product(labels: Mapping[str, str]) -> str:
    told = next((labels[key] for key in _PRODUCTS if labels.get(key)), "")
    if told:
        return _GKE_PRODUCTS.get(told, told)
    return next((_INSTANCES[labels[key]] for key in _INSTANCE if labels.get(key) in _INSTANCES), "")


def _count(labels: Mapping[str, str], status: object) -> int:
    """Devices of a host: by its capacity, which a lost device lowers last, else by its labels; 0 where neither tells."""
    told: list[object] = [labels.get(key) for key in _COUNTS]
    for part in ("capacity", "allocatable") if isinstance(status, dict) else ():
        amounts = status.get(part)  # type: ignore[attr-defined]
        told += [amounts.get(key) for key in _CAPACITIES] if isinstance(amounts, dict) else []
    return next((count for count in _whole(told) if 1 <= count <= MAX_COUNT), 0)


def _whole(values: Iterable[object]) -> Iterable[int]:
    return (
        int(str(value)) for value in values if value is not None and str(value)[:9].isdigit() and len(str(value)) < 9
    )


def _memory(labels: Mapping[str, str]) -> float:
    """Memory of a device [bytes]; 0 where no label tells."""
    if (mebibytes := labels.get(_MEBIBYTES, "")).isdigit() and len(mebibytes) < 12:
        return int(mebibytes) * 2.0**20
    told = next((labels[key] for key in _VRAM if labels.get(key)), "")
    found = re.fullmatch(r"(\d{1,4})Gi?B?", told)
    return int(found[1]) * 2.0**30 if found else 0.0
