"""Machines made from machines: two files of one host put together, sound copies of one that may have faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from topologies.errors import BadInput
from topologies.importers.findings import Findings, Notes
from topologies.importers.machine import Machine, Slot


def merged(findings: Sequence[Findings], notes: Notes) -> list[Machine]:
    """The machines of all files, those of one name put together.

    A single file of each of several formats is taken to describe one host, whatever the files are called.
    """
    found = [(one.format, machine) for one in findings for machine in one.machines]
    formats = [kind for kind, _ in found]
    unnamed = not any(machine.named for _, machine in found)
    if len(found) > 1 and len(set(formats)) == len(formats) and unnamed:
        names = ", ".join(dict.fromkeys(machine.name for _, machine in found))
        if len({machine.name for _, machine in found}) > 1:
            notes.assume(f"the files {names} are taken to describe one host, each being of another format")
        return [_together([machine for _, machine in found])]
    by_name: dict[str, list[Machine]] = {}
    for _, machine in found:
        by_name.setdefault(machine.name, []).append(machine)
    return [_together(machines) for machines in by_name.values()]


def _together(machines: Sequence[Machine]) -> Machine:
    whole = machines[0]
    for other in machines[1:]:
        if len(other.slots) != len(whole.slots):
            raise BadInput(
                f"the files of host {whole.name[:80]!r} list {len(whole.slots)} and {len(other.slots)} devices; "
                "they must be of the same host"
            )
        slots = tuple(_both(ours, theirs) for ours, theirs in zip(whole.slots, other.slots, strict=True))
        coherent = whole.coherent if whole.coherent is not None else other.coherent
        whole = replace(whole, slots=slots, nics=whole.nics or other.nics, coherent=coherent)
    return whole


def _both(ours: Slot, theirs: Slot) -> Slot:
    """What two files say of one device; the first is kept where both say something."""
    return Slot(
        name=ours.name,
        product=ours.product or theirs.product,
        memory_bytes=ours.memory_bytes or theirs.memory_bytes,
        peers=ours.peers if ours.peers is not None else theirs.peers,
        switched=ours.switched if ours.switched is not None else theirs.switched,
        domain=ours.domain or theirs.domain,
        nics=ours.nics if ours.nics is not None else theirs.nics,
        trouble="; ".join(dict.fromkeys(filter(None, (ours.trouble, theirs.trouble)))),
    )


def sound(machine: Machine) -> Machine:
    """The machine as it would be without faults, and without the domain of the one host that was looked at."""
    most = machine.most_links
    names = [slot.name for slot in machine.slots]
    broken = {slot.name for slot in machine.slots if most and slot.peers is not None and not any(slot.peers.values())}
    slots = []
    for slot in machine.slots:
        peers = slot.peers
        if broken and peers is not None:
            whole = {name: most for name in names if name != slot.name}
            peers = whole if slot.name in broken else {**peers, **dict.fromkeys(broken, most)}
        switched = True if slot.switched is False else slot.switched
        slots.append(replace(slot, peers=peers, switched=switched, domain="", trouble=""))
    return replace(machine, slots=tuple(slots))


def is_sound(machine: Machine) -> bool:
    """Whether a machine is like its sound copies."""
    pairs = zip(machine.slots, sound(machine).slots, strict=True)
    return all(own == replace(copy, domain=own.domain) for own, copy in pairs)


def blank(name: str, devices: int, product: str = "", memory: float = 0.0) -> Machine:
    """A host of which only the number of devices, and perhaps their product and memory [bytes], are known."""
    slots = (Slot(name=f"gpu{index}", product=product, memory_bytes=memory) for index in range(devices))
    return Machine(name, tuple(slots), named=True)
