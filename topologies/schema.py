"""The attributes of vertices and links in a cluster graph, as a table.

Every attribute has a unit, a default and a sentence. Default ``...`` means that it must be given; None that
:func:`topologies.cluster.validate` derives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import Literal

Kind = Literal["device", "host", "switch", "storage"]
Fabric = Literal["scale_up", "c2c", "pcie", "scale_out", "storage"]
Type = Literal["name", "flag", "amount", "count list"]

KINDS: tuple[Kind, ...] = ("device", "host", "switch", "storage")
FABRICS: tuple[Fabric, ...] = ("scale_up", "c2c", "pcie", "scale_out", "storage")
MAX_DEVICES = 200_000
MOST_AMOUNT = 1e24
"""Largest number of bytes, bytes/s, FLOP/s or seconds that anything may have: a million exascale machines."""


@dataclass(frozen=True)
class Attribute:
    """One attribute: where it belongs, what it holds and what stands in for it."""

    owners: tuple[str, ...]
    type: Type
    unit: str
    default: EllipsisType | str | bool | float | None
    meaning: str


VERTEX_ATTRIBUTES: dict[str, Attribute] = {
    "kind": Attribute(KINDS, "name", "", ..., "device, host, switch or storage"),
    "device": Attribute(("device",), "name", "", ..., "name in the catalog, or in the graph's own `devices`"),
    "host": Attribute(("device",), "name", "", ..., "vertex of the host it sits in"),
    "domain": Attribute(("device",), "name", "", None, "label of its scale-up domain; the links decide which it is"),
    "rack": Attribute(KINDS, "name", "", "", "label of the rack"),
    "healthy": Attribute(("device",), "flag", "", True, "false takes the device out of every plan and route"),
    "coordinates": Attribute(("device",), "count list", "", None, "place in the torus, one number per dimension"),
    "dram_bytes": Attribute(("host",), "amount", "bytes", None, "host memory; its devices' catalog share if absent"),
    "capacity_bytes": Attribute(("storage",), "amount", "bytes", ..., "size of the flash or of the shared store"),
}
LINK_ATTRIBUTES: dict[str, Attribute] = {
    "fabric": Attribute(FABRICS, "name", "", ..., "scale_up, c2c, pcie, scale_out or storage"),
    "bandwidth_bytes_per_s": Attribute(FABRICS, "amount", "bytes/s", ..., "in one direction"),
    "latency_s": Attribute(FABRICS, "amount", "s", None, "propagation and switching; by fabric if absent"),
}

LATENCY_S: dict[Fabric, float] = {
    "scale_up": 0.5e-6,
    "c2c": 0.5e-6,
    "pcie": 1e-6,
    "scale_out": 1e-6,
    "storage": 80e-6,
}
"""Latency of one link [s] where none is given: the order of magnitude of NVLink, C2C, PCIe, InfiniBand and NVMe."""

JOINS: dict[Fabric, frozenset[frozenset[Kind]]] = {
    "scale_up": frozenset({frozenset({"device"}), frozenset({"device", "switch"}), frozenset({"switch"})}),
    "c2c": frozenset({frozenset({"device", "host"})}),
    "pcie": frozenset({frozenset({"device", "host"})}),
    "scale_out": frozenset({frozenset({"switch"}), *(frozenset({"switch", kind}) for kind in KINDS)}),
    "storage": frozenset({frozenset({"storage", "host"}), frozenset({"storage", "switch"})}),
}
"""Kinds of vertices that a link of each fabric may join."""
