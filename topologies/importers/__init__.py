"""Clusters from the files that tools write about real machines.

======================  ====================================================================================
format                  what it tells
======================  ====================================================================================
``nvidia-smi-topo``     ``nvidia-smi topo -m``: NVLinks and near NICs of one host; no product
``nvidia-smi-xml``      ``nvidia-smi -q -x``: products, health and NVLink domain of one host
``rocm-topo``           ``rocm-smi --showtopo`` or ``amd-smi topology``, text or JSON: XGMI links of one host; no product
``nccl-xml``            NCCL or RCCL topology: PCIe tree, NVLinks or XGMI links, and NICs of one host
``lstopo-xml``          ``lstopo --of xml`` of hwloc: PCIe tree, products and NICs of one host
``ibnetdiscover``       switches, NICs and cables of an InfiniBand fabric, with speeds
``ibnetdiscover-ports`` the same from ``ibnetdiscover -p``; ``iblinkinfo`` the same from that
``slurm-conf``          ``topology.conf``: a tree of switches, or blocks of hosts
``slurm-yaml``          ``topology.yaml``: the same
``topograph-yaml``      a topograph model: switches and NVLink domains; ``topograph-json`` the same in JSON
``kubernetes-nodes``    ``kubectl get nodes -o json``: the labels of topograph and of the GPU operator
``graphml``             a whole cluster or a bare fabric, from any user of networkx
``node-link``           the same as node-link JSON
======================  ====================================================================================

:func:`read` takes one file, :func:`assemble` several that describe one cluster together. What no file says is filled
from the catalog and listed in :attr:`Import.assumptions`; what is broken in :attr:`Import.faults`. A device that must
not be used (off the NVLink fabric, failed memory) stays in the graph with ``healthy`` false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx

from topologies.errors import BadInput, UnknownName
from topologies.hardware import Device
from topologies.importers import (
    graphml,
    ibnetdiscover,
    ibports,
    kubernetes,
    lstopo,
    nccl,
    node_link,
    nvidia_smi,
    nvidia_smi_xml,
    rocm,
    slurm,
    slurm_yaml,
    topograph,
)
from topologies.importers.compose import compose
from topologies.importers.fill import Fill
from topologies.importers.findings import Findings, Import
from topologies.importers.foreign import fabric_of
from topologies.importers.sniff import sniff
from topologies.importers.source import Source

__all__ = ["FORMATS", "Import", "assemble", "read"]

_READERS: dict[str, Callable[[Source, str], Findings]] = {
    "nvidia-smi-topo": nvidia_smi.read,
    "nvidia-smi-xml": nvidia_smi_xml.read,
    "rocm-topo": rocm.read,
    "nccl-xml": nccl.read,
    "lstopo-xml": lstopo.read,
    "ibnetdiscover": ibnetdiscover.read,
    "ibnetdiscover-ports": ibports.read_ports,
    "iblinkinfo": ibports.read_links,
    "slurm-conf": slurm.read,
    "slurm-yaml": slurm_yaml.read,
    "topograph-yaml": topograph.read_yaml,
    "topograph-json": topograph.read_json,
    "kubernetes-nodes": kubernetes.read,
    "graphml": graphml.read,
    "node-link": node_link.read,
}
FORMATS: tuple[str, ...] = tuple(_READERS)
"""The formats that are read."""


def read(
    path: str | Path,
    format: str | None = None,
    *,
    host: str | None = None,
    device: str | Device | Mapping[str, Any] | None = None,
    devices_per_host: int | None = None,
    oversubscription: float = 1.0,
) -> Import:
    """The cluster that one file describes.

    Parameters
    ----------
    format: one of :data:`FORMATS`; by the content if not given.
    host: name of the host that the file describes; the file's own name if not given.
    device: kind of every device, where the file does not tell or what it tells is in no catalog.
    devices_per_host: for hosts of a fabric; the device's default if not given.
    oversubscription: of switches whose speeds the file does not tell.

    Raises
    ------
    BadInput: the file cannot be read; names the file and the line.
    """
    fill = Fill.of(device, devices_per_host, None, oversubscription)
    return compose([_findings(path, format, host)], fill)


def assemble(
    *sources: str | Path | Import | nx.Graph[str],
    hosts: int | None = None,
    device: str | Device | Mapping[str, Any] | None = None,
    devices_per_host: int | None = None,
    oversubscription: float = 1.0,
) -> Import:
    """The one cluster that several files describe together.

    Hosts of files are matched with hosts of the fabric by the GUIDs of NICs, else by name. The file of a single host
    stands for every host that no other file describes; its faults stay where they are known to be.

    Parameters
    ----------
    sources: files, earlier imports, and graphs of hosts and switches.
    hosts: copies of a single host where no file tells of a fabric.
    device, devices_per_host, oversubscription: as for :func:`read`.

    Raises
    ------
    BadInput: a file cannot be read, or the files do not fit each other.
    """
    if not sources:
        raise BadInput("assemble needs at least one file")
    findings: list[Findings] = []
    for source in sources:
        findings += _known(source)
    return compose(findings, Fill.of(device, devices_per_host, hosts, oversubscription))


def _known(source: str | Path | Import | nx.Graph[str]) -> tuple[Findings, ...]:
    if isinstance(source, Import):
        return source.findings
    if isinstance(source, nx.Graph):
        if any(data.get("kind") == "device" for _, data in source.nodes(data=True)):
            return (Findings("the graph", "graph", graph=source),)
        return (Findings("the graph", "graph", fabric=fabric_of(source)),)
    return (_findings(source, None, None),)


def _findings(path: str | Path, format: str | None, host: str | None) -> Findings:
    source = Source.of(path)
    kind = format or sniff(source)
    if kind not in _READERS:
        raise UnknownName("format", str(kind)[:60], _READERS)
    found = _READERS[kind](source, host or source.stem)
    if host is None:
        return found
    return replace(found, machines=tuple(replace(machine, named=True) for machine in found.machines))
