"""What machines exist: devices, cluster graphs, scale-up domains and routes.

A cluster is an undirected :class:`networkx.Graph` whose attributes :mod:`topologies.schema` lists.

>>> import topologies
>>> cluster = topologies.nvl72(racks=2)
>>> [(group.name, group.count) for group in topologies.domain_classes(cluster)]
[('gb200-72', 2)]
>>> [tier.name for tier in topologies.fabric_tiers(cluster)]
['leaf', 'spine']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topologies import exporters, importers, schema
    from topologies.builders import BUILDERS, build, fat_tree, hgx, join, mark_unhealthy, nvl72
    from topologies.builders.torus import torus
    from topologies.cluster import devices_of, validate
    from topologies.domains import Domain, DomainClass, domain_classes, scale_up_domains
    from topologies.errors import BadCluster, BadInput, RackplanError, UnknownName
    from topologies.faults import Fault, crippled, find_faults
    from topologies.files import from_plain, load, save, to_plain
    from topologies.hardware import DTYPES, Device, device, devices
    from topologies.json_schema import cluster_schema
    from topologies.overview import summary
    from topologies.prices import ListPrice, list_price, list_prices
    from topologies.profile import DomainProfile, HostProfile, Rates
    from topologies.routes import Routes
    from topologies.show import describe
    from topologies.switch_tiers import FabricTier, SwitchPorts, fabric_tiers, switch_ports

#: Which module defines which name: each is loaded when it is first asked for, so that a command pays for what it uses.
_HOMES = {
    "topologies.builders": (
        "BUILDERS",
        "build",
        "fat_tree",
        "hgx",
        "join",
        "mark_unhealthy",
        "nvl72",
        "torus",
    ),
    "topologies.cluster": (
        "devices_of",
        "validate",
    ),
    "topologies.domains": (
        "Domain",
        "DomainClass",
        "domain_classes",
        "scale_up_domains",
    ),
    "topologies.errors": (
        "BadCluster",
        "BadInput",
        "RackplanError",
        "UnknownName",
    ),
    "topologies.faults": (
        "Fault",
        "crippled",
        "find_faults",
    ),
    "topologies.files": (
        "from_plain",
        "load",
        "save",
        "to_plain",
    ),
    "topologies.hardware": (
        "DTYPES",
        "Device",
        "device",
        "devices",
    ),
    "topologies.json_schema": ("cluster_schema",),
    "topologies.overview": ("summary",),
    "topologies.prices": (
        "ListPrice",
        "list_price",
        "list_prices",
    ),
    "topologies.profile": (
        "DomainProfile",
        "HostProfile",
        "Rates",
    ),
    "topologies.routes": ("Routes",),
    "topologies.show": ("describe",),
    "topologies.switch_tiers": (
        "FabricTier",
        "SwitchPorts",
        "fabric_tiers",
        "switch_ports",
    ),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BUILDERS",
    "DTYPES",
    "BadCluster",
    "BadInput",
    "Device",
    "Domain",
    "DomainClass",
    "DomainProfile",
    "FabricTier",
    "Fault",
    "HostProfile",
    "ListPrice",
    "RackplanError",
    "Rates",
    "Routes",
    "SwitchPorts",
    "UnknownName",
    "build",
    "cluster_schema",
    "crippled",
    "describe",
    "device",
    "devices",
    "devices_of",
    "domain_classes",
    "exporters",
    "fabric_tiers",
    "fat_tree",
    "find_faults",
    "from_plain",
    "hgx",
    "importers",
    "join",
    "list_price",
    "list_prices",
    "load",
    "mark_unhealthy",
    "nvl72",
    "save",
    "scale_up_domains",
    "schema",
    "summary",
    "switch_ports",
    "to_plain",
    "torus",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name in ("exporters", "importers", "schema"):
        return import_module(f"topologies.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found
