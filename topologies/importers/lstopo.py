"""``lstopo --of xml`` of hwloc: the PCIe tree of one host with its devices and NICs, and NVLinks where hwloc measured them.

Devices are the PCI functions of a display or accelerator class with a product that is none of a management controller;
what runs on them (``nvml0``, ``cuda0``, ``rsmi0``) names the product. A matrix of ``NVLinkBandwidth`` or
``XGMIBandwidth`` tells which devices are joined; without one the catalog does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from topologies.importers import products
from topologies.importers.findings import Findings
from topologies.importers.machine import Machine, Nic, Slot
from topologies.importers.markup import Element, parse
from topologies.importers.source import Source

_DEVICE_CLASSES = ("0300", "0302", "0380", "1200", "0b40")
_VENDORS = ("10de", "1002", "1da3", "8086")
_TYPE = re.compile(r"([0-9a-f]{4}) \[([0-9a-f]{4}):([0-9a-f]{4})\].*")
_NETWORK, _FABRIC = ("2", "Network"), ("3", "OpenFabrics")
_MEGABYTES_A_LINK = 25_000
"""Bandwidth by which hwloc counts an NVLink [MB/s]."""
MAX_DEVICES = 1024


@dataclass(frozen=True)
class Function:
    """A PCI function with the objects above it, innermost last."""

    element: Element
    above: tuple[str, ...]

    def names(self, kinds: tuple[str, ...]) -> list[str]:
        """Names of the operating system's devices on it of some kinds."""
        inner = (entry for entry in self.element.all("object") if entry.attributes.get("type") == "OSDev")
        return [one.attributes.get("name", "")[:60] for one in inner if one.attributes.get("osdev_type") in kinds]

    @property
    def info(self) -> dict[str, str]:
        """What hwloc found out of it and of what runs on it."""
        around = (self.element, *self.element.all("object"))
        entries = (entry for part in around for entry in part.all("info"))
        found: dict[str, str] = {}
        for entry in entries:
            found.setdefault(entry.attributes.get("name", "")[:60], entry.attributes.get("value", "")[:120])
        return found


def read(source: Source, host: str) -> Findings:
    """One machine from the XML.

    Raises
    ------
    BadInput: no device in it; names the line.
    """
    root = parse(source)
    machine = next((entry for entry in root.all("object") if entry.attributes.get("type") == "Machine"), root)
    functions = list(_functions(machine, ()))
    found = [one for one in functions if _is_device(one)]
    if not found or len(found) > MAX_DEVICES:
        raise source.error(root.line, f"the topology holds {len(found)} devices; 1 to {MAX_DEVICES:,} are expected")
    nics = [(Nic(name), one.above) for one in functions if (name := _nic(one))]
    links, switched = _links(root, found)
    slots = tuple(
        Slot(
            name=f"gpu{number}",
            product=_product(one),
            memory_bytes=_memory(one),
            peers=links.get(number) if links else None,
            switched=True if switched else None,
            nics=_near(one.above, nics),
        )
        for number, one in enumerate(found)
    )
    info = {entry.attributes.get("name"): entry.attributes.get("value", "") for entry in machine.all("info")}
    name = (info.get("HostName") or "").strip()[:100]
    vendors = {match[2] for one in found if (match := _type(one))}
    return Findings(
        source.name,
        "lstopo-xml",
        (
            Machine(
                source.name_at(machine.line, name) if name and host == source.stem else host,
                slots,
                tuple(nic for nic, _ in nics),
                hint=source.stem,
                named=bool(name),
                links="XGMI" if vendors == {"1002"} else "NVLink",
            ),
        ),
    )


def _functions(here: Element, above: tuple[str, ...]) -> Iterator[Function]:
    for entry in here.all("object"):
        if entry.attributes.get("type") == "PCIDev":
            yield Function(entry, above)
        else:
            inner = entry.attributes.get("gp_index") or entry.attributes.get("os_index") or str(entry.line)
            bridge = entry.attributes.get("type") == "Bridge"
            yield from _functions(entry, (*above, inner) if bridge or not above else above)


def _type(one: Function) -> re.Match[str] | None:
    return _TYPE.match(one.element.attributes.get("pci_type", "").lower())


def _is_device(one: Function) -> bool:
    kind = _type(one)
    if kind is None or kind[1] not in _DEVICE_CLASSES or kind[2] not in _VENDORS:
        return False
    return kind[2] != "8086" or bool(one.names(("1", "5", "GPU", "CoProc")))


def _product(one: Function) -> str:
    info, kind = one.info, _type(one)
    named = info.get("GPUModel") or (products.by_pci_id(f"0x{kind[2]}", f"0x{kind[3]}") if kind else "")
    inner = re.search(r"\[([^\]]+)\]", info.get("PCIDevice", ""))
    return named or (inner[1] if inner else info.get("PCIDevice", ""))


def _memory(one: Function) -> float:
    kibibytes = one.info.get("CUDAGlobalMemorySize", "")
    return int(kibibytes) * 1024.0 if kibibytes.isdigit() and len(kibibytes) < 14 else 0.0


def _nic(one: Function) -> str:
    """The name of a NIC for RDMA, else for IP."""
    names = one.names(_FABRIC) or one.names(_NETWORK)
    return names[0] if names else ""


def _near(above: tuple[str, ...], nics: list[tuple[Nic, tuple[str, ...]]]) -> tuple[str, ...]:
    """NICs that share the most bridges with a device, at least one."""
    shared = {nic.name: sum(a == b for a, b in zip(above, theirs, strict=False)) for nic, theirs in nics}
    best = max(shared.values(), default=0)
    return tuple(name for name, count in shared.items() if count == best) if best > 1 else ()


def _links(root: Element, found: list[Function]) -> tuple[dict[int, dict[str, int]], bool]:
    """Links of each device by its number, and whether they lead to switches; nothing where hwloc measured none."""
    place: dict[str, int] = {}
    for number, one in enumerate(found):
        for entry in (one.element, *one.element.all("object")):
            place[entry.attributes.get("gp_index", "")] = number
    for table in root.all("distances2"):
        if table.attributes.get("name") not in ("NVLinkBandwidth", "XGMIBandwidth"):
            continue
        indexes = [word for part in table.all("indexes") for word in part.text.split()]
        values = [word for part in table.all("u64values") for word in part.text.split()]
        if len(values) != len(indexes) ** 2 or not all(value.isdigit() and len(value) < 16 for value in values):
            continue
        if any(index not in place for index in indexes):
            return {}, True
        links: dict[int, dict[str, int]] = {number: {} for number in range(len(found))}
        for at, value in enumerate(values):
            here, there = place[indexes[at // len(indexes)]], place[indexes[at % len(indexes)]]
            if here != there:
                links[here][f"gpu{there}"] = max(1, round(int(value) / _MEGABYTES_A_LINK)) if int(value) else 0
        return links, False
    return {}, False
