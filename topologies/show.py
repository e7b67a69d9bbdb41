"""A cluster in words: totals, devices, domains, hosts, racks, fabric and faults, alike parts in one line.

::

    144 devices on 36 hosts in 2 scale-up domains
    ├─ devices
    │  └─ 144 gb200, 192 GB each, all healthy
    ├─ scale-up domains
    │  └─ gb200-72: 2 of 72 devices, by switch, 900 GB/s a device (rack0, rack1)
    ...
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import networkx as nx

from topologies.cluster import devices_of, validate
from topologies.domains import domain_classes
from topologies.faults import find_faults
from topologies.naming import in_order
from topologies.tiers import FabricTier, fabric_tiers
from topologies.units import show_bandwidth, show_bytes
from topologies.views import is_healthy_device

SHOWN_NAMES = 4


def describe(graph: nx.Graph[str]) -> str:
    """The cluster as a tree of text.

    >>> import topologies
    >>> print(describe(topologies.hgx(1, "h200")).splitlines()[0])
    8 devices on 1 host in 1 scale-up domain
    """
    told = summary(graph)
    parts = [
        ("devices", [_device_line(entry) for entry in told["devices"]]),
        ("scale-up domains", [_domain_line(entry) for entry in told["domains"]]),
        ("hosts", [_host_line(entry) for entry in told["hosts"]]),
        ("racks", [_rack_line(entry) for entry in told["racks"]]),
        ("scale-out fabric", [_tier_line(entry) for entry in told["tiers"]] or ["none"]),
        ("faults", [_fault_line(entry) for entry in told["faults"]] or ["none"]),
    ]
    lines = [_total_line(told["totals"])]
    shown = [(title, inner) for title, inner in parts if inner]
    for index, (title, inner) in enumerate(shown):
        last = index == len(shown) - 1
        lines.append(f"{'└' if last else '├'}─ {title}")
        lines += _branches(inner, "   " if last else "│  ")
    return "\n".join(lines)


def summary(graph: nx.Graph[str]) -> dict[str, Any]:
    """The same as data that JSON can hold; quantities in SI units.

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


def _branches(lines: list[str], indent: str) -> list[str]:
    return [f"{indent}{'└' if index == len(lines) - 1 else '├'}─ {line}" for index, line in enumerate(lines)]


def _total_line(totals: dict[str, int]) -> str:
    hosts = _plural(totals["hosts"], "host")
    if not totals["devices"]:
        return f"a bare fabric: {_plural(totals['switches'], 'switch', 'switches')} and {hosts} without devices"
    devices, domains = _plural(totals["devices"], "device"), _plural(totals["domains"], "scale-up domain")
    ill = totals["devices"] - totals["healthy_devices"]
    return f"{devices} on {hosts} in {domains}" + (f"; {ill:,} not healthy" if ill else "")


def _device_line(entry: dict[str, Any]) -> str:
    ill = entry["count"] - entry["healthy"]
    state = f"{entry['healthy']:,} healthy, {ill:,} not" if ill else "all healthy"
    return f"{entry['count']:,} {entry['device']}, {show_bytes(entry['hbm_bytes'])} each, {state}"


def _domain_line(entry: dict[str, Any]) -> str:
    if entry["shape"] == "single":
        what = "1 device"
    else:
        what = (
            f"{entry['size']:,} devices, by {entry['shape']}, {show_bandwidth(entry['scale_up_bytes_per_s'])} a device"
        )
    return f"{entry['class']}: {entry['count']:,} of {what} ({_names(entry['names'])})"


def _host_line(entry: dict[str, Any]) -> str:
    devices = " + ".join(f"{count} {name}" for name, count in entry["devices"].items()) or "no device"
    parts = [devices]
    parts += [f"{show_bytes(entry['dram_bytes'])} of memory"] if entry["dram_bytes"] else []
    parts += [f"{show_bytes(entry['flash_bytes'])} of flash"] if entry["flash_bytes"] else []
    return f"{_plural(entry['count'], 'host')} with {', '.join(parts)} ({_names(entry['names'])})"


def _rack_line(entry: dict[str, Any]) -> str:
    ill = entry["devices"] - entry["healthy"]
    what = f"{_plural(entry['hosts'], 'host')} and {_plural(entry['devices'], 'device')}"
    return (
        f"{_plural(entry['count'], 'rack')} of {what}{f', {ill} not healthy' if ill else ''} ({_names(entry['names'])})"
    )


def _tier_line(entry: dict[str, Any]) -> str:
    line = f"{entry['name']}: {_plural(entry['switches'], 'switch', 'switches')}, "
    line += f"{show_bandwidth(entry['down_bytes_per_s'])} down"
    if entry["oversubscription"] is None:
        return line
    least, most = f"{entry['least_oversubscription']:.3g}:1", f"{entry['oversubscription']:.3g}:1"
    ratio = most if least == most else f"{least} to {most}"
    return f"{line}, {show_bandwidth(entry['up_bytes_per_s'])} up, oversubscribed {ratio}"


def _fault_line(entry: dict[str, Any]) -> str:
    many = _plural(len(entry["vertices"]), entry["kind"], "switches" if entry["kind"] == "switch" else "")
    return f"{many} {entry['what']}: {_names(entry['vertices'])}"


def _names(names: Iterable[str]) -> str:
    """Up to four names, or the first and the last of many."""
    all_names = list(names)
    if len(all_names) <= SHOWN_NAMES:
        return ", ".join(all_names)
    return f"{all_names[0]} … {all_names[-1]}"


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
