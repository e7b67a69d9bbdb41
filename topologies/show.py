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

from collections.abc import Iterable
from typing import Any

import networkx as nx

from topologies.overview import summary
from topologies.units import show_bandwidth, show_bytes

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
    least, most = _ratio(entry["least_oversubscription"]), _ratio(entry["oversubscription"])
    ratio = most if least == most else f"{least} to {most}"
    return f"{line}, {show_bandwidth(entry['up_bytes_per_s'])} up, oversubscribed {ratio}"


def _ratio(value: float) -> str:
    return f"{value:,.0f}:1" if value >= 1000 else f"{value:.3g}:1"


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
