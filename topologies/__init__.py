"""What machines exist: devices, cluster graphs, scale-up domains and routes.

A cluster is an undirected :class:`networkx.Graph` whose attributes :mod:`topologies.schema` lists.

>>> cluster = nvl72(racks=2)
>>> [(group.name, group.count) for group in domain_classes(cluster)]
[('gb200-72', 2)]
>>> [tier.name for tier in fabric_tiers(cluster)]
['leaf', 'spine']
"""

from topologies import exporters, importers
from topologies.builders import BUILDERS, build, fat_tree, hgx, join, mark_unhealthy, nvl72, torus
from topologies.cluster import devices_of, validate
from topologies.domains import Domain, DomainClass, domain_classes, scale_up_domains
from topologies.errors import BadCluster, BadInput, RackplanError, UnknownName
from topologies.faults import Fault, crippled, find_faults
from topologies.files import from_plain, load, save, to_plain
from topologies.hardware import DTYPES, Device, device, devices
from topologies.overview import summary
from topologies.profile import DomainProfile, HostProfile, Rates
from topologies.routes import Routes
from topologies.show import describe
from topologies.tiers import FabricTier, SwitchPorts, fabric_tiers, switch_ports

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
    "RackplanError",
    "Rates",
    "Routes",
    "SwitchPorts",
    "UnknownName",
    "build",
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
    "load",
    "mark_unhealthy",
    "nvl72",
    "save",
    "scale_up_domains",
    "summary",
    "switch_ports",
    "to_plain",
    "torus",
    "validate",
]
