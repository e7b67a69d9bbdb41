"""A cluster summed up as plain data: totals, and alike parts together."""

from __future__ import annotations

from collections import Counter
from typing import Any

import networkx as nx

from topologies.cluster import devices_of, validate
from topologies.domains import domain_classes
from topologies.faults import find_faults
from topologies.naming import in_order
from topologies.switch_tiers import FabricTier, fabric_tiers
from topologies.views import is_healthy_device


def summary(graph: nx.Graph[str]) -> dict[str, Any]:
    """What :func:`topologies.describe` says, as data that JSON can hold; quantities in SI units.

    A fabric of hosts and switches without devices is summed up as well.

    >>> import topologies
    >>> told = summary(topologies.nvl72(racks=2))
    >>> told["totals"]["devices"], told["tiers"][0]["oversubscription"], told["faults"]
    (144, 1.0, [])
    """
    complete = any(data.get("kind") == "device" for _, data in graph.nodes(data=True))
    checked = validate(graph) if complete else graph
    kinds = Counter(data["kind"] for _, data in checked.nodes(data=True))
    healthy = sum(is_healthy_device(data) for _, data in checked.nodes(data=True))
    domains = _domains(checked) if complete else []
    totals = {
        "devices": kinds["device"],
        "healthy_devices": healthy,
        "hosts": kinds["host"],
        "domains": sum(entry["count"] for entry in domains),
        "switches": kinds["switch"],
    }
    return {
        "totals": totals,
        "devices": _devices(checked) if complete else [],
        "domains": domains,
        "hosts": _hosts(checked),
        "racks": _racks(checked),
        "tiers": [_tier(tier) for tier in fabric_tiers(checked)],
        "faults": [
            {"kind": fault.kind, "what": fault.what, "vertices": list(fault.vertices)} for fault in find_faults(checked)
        ],
    }


def _devices(graph: nx.Graph[str]) -> list[dict[str, Any]]:
    known, count, healthy = devices_of(graph), Counter[str](), Counter[str]()
    for _, data in graph.nodes(data=True):
        if data["kind"] == "device":
            count[data["device"]] += 1
            healthy[data["device"]] += data["healthy"]
    return [
        {"device": name, "count": count[name], "healthy": healthy[name], "hbm_bytes": known[name].hbm_bytes}
        for name in in_order(count)
    ]


def _domains(graph: nx.Graph[str]) -> list[dict[str, Any]]:
    return [
        {
            "class": group.name,
            "device": group.device,
            "count": group.count,
            "size": group.size,
            "shape": group.profile.shape,
            "scale_up_bytes_per_s": group.profile.least.scale_up,
            "names": [domain.name for domain in group.domains],
        }
        for group in domain_classes(graph)
    ]


def _hosts(graph: nx.Graph[str]) -> list[dict[str, Any]]:
    """Hosts that hold the same, together."""
    held = {v: Counter[str]() for v, data in graph.nodes(data=True) if data["kind"] == "host"}
    for _, data in graph.nodes(data=True):
        if data["kind"] == "device":
            held[data["host"]][data["device"]] += 1
    alike: dict[tuple[Any, ...], list[str]] = {}
    for host, devices in held.items():
        stores = [v for v in graph[host] if graph.nodes[v]["kind"] == "storage"]
        flash = sum(graph.nodes[store]["capacity_bytes"] for store in stores)
        key = tuple(sorted(devices.items())), graph.nodes[host].get("dram_bytes") or 0.0, flash
        alike.setdefault(key, []).append(host)
    return [
        {"count": len(names), "devices": dict(devices), "dram_bytes": dram, "flash_bytes": flash, "names": names}
        for (devices, dram, flash), names in _largest_first(alike)
    ]


def _racks(graph: nx.Graph[str]) -> list[dict[str, Any]]:
    """Racks that hold as many hosts, devices and healthy devices, together."""
    held: dict[str, Counter[str]] = {}
    for _, data in graph.nodes(data=True):
        if data.get("rack") and data["kind"] in ("device", "host"):
            count = held.setdefault(data["rack"], Counter())
            count[data["kind"]] += 1
            count["healthy"] += is_healthy_device(data)
    alike: dict[tuple[int, int, int], list[str]] = {}
    for rack, count in held.items():
        alike.setdefault((count["host"], count["device"], count["healthy"]), []).append(rack)
    return [
        {"count": len(names), "hosts": hosts, "devices": devices, "healthy": healthy, "names": names}
        for (hosts, devices, healthy), names in _largest_first(alike)
    ]


def _largest_first(alike: dict[Any, list[str]]) -> list[tuple[Any, list[str]]]:
    """Groups by their number of names, then by their first name; the names of each in natural order."""
    groups = [(key, in_order(names)) for key, names in alike.items()]
    first = {group[1][0]: rank for rank, group in enumerate(groups)}
    rank = {name: index for index, name in enumerate(in_order(first))}
    return sorted(groups, key=lambda group: (-len(group[1]), rank[group[1][0]]))


def _tier(tier: FabricTier) -> dict[str, Any]:
    ratios = [one.oversubscription for one in tier.switches if one.oversubscription is not None]
    return {
        "name": tier.name,
        "switches": len(tier.switches),
        "down_bytes_per_s": tier.down_bytes_per_s,
        "up_bytes_per_s": tier.up_bytes_per_s,
        "oversubscription": tier.oversubscription,
        "least_oversubscription": min(ratios, default=None),
    }
