"""NCCL and RCCL topology XML (``NCCL_TOPO_FILE``, ``NCCL_TOPO_DUMP_FILE``): PCIe tree, links and NICs of one host.

A file dumped by NCCL names devices, NVLinks and NICs. A static file that a cloud ships for its virtual machines often
tells only PCI addresses and classes; NVLinks are then for NCCL to find, and so for the catalog here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from topologies.importers import products
from topologies.importers.findings import Findings, Notes
from topologies.importers.machine import Machine, Nic, Slot
from topologies.importers.markup import Element, parse
from topologies.importers.source import Source

_DEVICE_CLASSES = ("0x0302", "0x0300", "0x0380", "0x1200")
_NIC_CLASS = "0x02"
_NVSWITCH_CLASS = "0x0680"
_MEGABIT = 1e6 / 8
_GENERATIONS = {
    "70": "volta",
    "75": "turing",
    "80": "ampere",
    "86": "ampere",
    "89": "ada",
    "90": "hopper",
    "100": "blackwell",
    "103": "blackwell",
    "120": "blackwell-rtx",
    "121": "blackwell-rtx",
    "107": "rubin",
}


@dataclass
class Leaf:
    """A PCI function with the bridges above it, innermost last; the CPU is the first."""

    element: Element
    above: tuple[str, ...]
    bus: str
    links: dict[str, int] = field(default_factory=dict)
    switch_links: int = 0
    lists_links: bool = False


def read(source: Source, host: str) -> Findings:
    """One machine from a topology file.

    Raises
    ------
    BadInput: a graph file (the rings and trees that NCCL chose), or no device in it; names the line.
    """
    system = parse(source)
    if system.tag == "graphs":
        raise source.error(
            system.line,
            "a NCCL graph file holds the rings and trees that NCCL chose, not the links of the machine; "
            "give the topology file (NCCL_TOPO_DUMP_FILE)",
        )
    if system.tag != "system":
        raise source.error(system.line, f"the root is <{system.tag[:40]}>; a NCCL topology has <system>")
    notes = Notes()
    leaves = [leaf for number, cpu in enumerate(system.all("cpu")) for leaf in _leaves(cpu, (f"cpu{number}",))]
    found = [leaf for leaf in leaves if leaf.element.find("gpu") or _is_class(leaf, *_DEVICE_CLASSES)]
    if not found:
        raise _no_device(source, system, leaves)
    for leaf in found:
        _note_links(source, leaf, notes)
    nics = _nics(system, leaves)
    slots = tuple(_slot(leaf, index, found, nics) for index, leaf in enumerate(found))
    machine = Machine(
        host,
        slots,
        tuple(nic for nic, _ in nics),
        hint=source.stem,
        links="XGMI" if any(_is_amd(leaf) for leaf in found) else "NVLink",
        generation=_generation(found),
    )
    return Findings(source.name, "nccl-xml", (machine,), faults=tuple(notes.faults))


def _leaves(here: Element, above: tuple[str, ...]) -> Iterator[Leaf]:
    """PCI functions below an element that are no bridges to others."""
    for pci in here.all("pci"):
        bus = pci.attributes.get("busid", "")[:40]
        if pci.find("pci") is None:
            yield Leaf(pci, above, bus)
        else:
            yield from _leaves(pci, (*above, bus))


def _is_class(leaf: Leaf, *classes: str) -> bool:
    return leaf.element.attributes.get("class", "").lower().startswith(classes)


def _no_device(source: Source, system: Element, leaves: list[Leaf]) -> Exception:
    unclassed = [leaf for leaf in leaves if not leaf.element.attributes.get("class")]
    if unclassed:
        return source.error(
            unclassed[0].element.line,
            f"pci {unclassed[0].bus} has neither a class nor a <gpu>, as have {len(unclassed) - 1} others: the file "
            "gives addresses only, and which of them are devices NCCL finds out on the host; "
            "dump the full topology there with NCCL_TOPO_DUMP_FILE",
        )
    return source.error(system.line, f"none of the {len(leaves)} pci entries is a device (class 0x0302...)")


def _note_links(source: Source, leaf: Leaf, notes: Notes) -> None:
    """Read the NVLinks or XGMI links of a device."""
    listed = (entry for gpu in leaf.element.all("gpu") for entry in gpu.children if entry.tag in ("nvlink", "xgmi"))
    for link in listed:
        leaf.lists_links = True
        target, count = link.attributes.get("target", "")[:40], link.attributes.get("count", "1")
        if not count.isdigit() or not 1 <= int(count[:6]) <= 1000:
            raise source.error(link.line, f"count of {link.tag} is {count[:20]!r}; it must be a number of links")
        if link.attributes.get("tclass", "").lower().startswith(_NVSWITCH_CLASS):
            leaf.switch_links += int(count)
        elif target == leaf.bus:
            notes.fault(f"{source.where(link.line)}: {count} links of {leaf.bus} lead to itself; they are left out")
        else:
            leaf.links[target] = leaf.links.get(target, 0) + int(count)


def _slot(leaf: Leaf, index: int, all_devices: list[Leaf], nics: list[tuple[Nic, tuple[str, ...]]]) -> Slot:
    names = {other.bus: f"gpu{number}" for number, other in enumerate(all_devices)}
    attributes = leaf.element.attributes
    tells = any(other.links for other in all_devices) or any(_is_amd(other) for other in all_devices)
    switched = any(other.switch_links for other in all_devices)
    return Slot(
        name=f"gpu{index}",
        product=products.by_pci_id(attributes.get("vendor", ""), attributes.get("device", "")),
        peers={names[bus]: count for bus, count in leaf.links.items() if bus in names} if tells else None,
        switched=leaf.switch_links > 0 if switched else None,
        switch_links=leaf.switch_links,
        nics=_near(leaf, nics),
    )


def _is_amd(leaf: Leaf) -> bool:
    """Whether RCCL wrote the entry: its devices have the number of a graphics core (``gcn``)."""
    return any("gcn" in gpu.attributes for gpu in leaf.element.all("gpu"))


def _generation(found: list[Leaf]) -> str:
    """The generation by the compute capability that NCCL writes (``sm``); empty where it is none of NVIDIA's."""
    told = {gpu.attributes.get("sm", "") for leaf in found if not _is_amd(leaf) for gpu in leaf.element.all("gpu")}
    return _GENERATIONS.get(told.pop(), "") if len(told) == 1 else ""


def _near(leaf: Leaf, nics: list[tuple[Nic, tuple[str, ...]]]) -> tuple[str, ...]:
    """NICs that share the most bridges with a device, at least one."""
    shared = {nic.name: _common(leaf.above, above) for nic, above in nics}
    best = max(shared.values(), default=0)
    return tuple(name for name, count in shared.items() if count == best) if best > 1 else ()


def _common(ours: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    pairs = zip(ours, theirs, strict=False)
    return next((depth for depth, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))


def _nics(system: Element, leaves: list[Leaf]) -> list[tuple[Nic, tuple[str, ...]]]:
    """NICs with the bridges above them: on the PCI tree, or listed beside it."""
    found = []
    for leaf in leaves:
        nets = [net for nic in leaf.element.all("nic") for net in nic.all("net")]
        found += [(_nic(net, leaf.bus), leaf.above) for net in nets]
        if not nets and leaf.element.find("gpu") is None and _is_class(leaf, _NIC_CLASS):
            found.append((Nic(leaf.bus), leaf.above))
    for number, cpu in enumerate(system.all("cpu")):
        found += [(_nic(net, f"nic{number}"), (f"cpu{number}",)) for nic in cpu.all("nic") for net in nic.all("net")]
    return found


def _nic(net: Element, otherwise: str) -> Nic:
    speed = net.attributes.get("speed", "")[:12]
    guid = net.attributes.get("guid", "").lower().removeprefix("0x").lstrip("0")
    rate = int(speed) * _MEGABIT if speed.isdigit() and int(speed) else None
    return Nic(net.attributes.get("name", "")[:40] or otherwise, rate, guid[:32])
