"""Which NIC of a host serves which of its devices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from topologies.importers.fabric import Port
from topologies.importers.findings import Notes
from topologies.importers.machine import Machine, Nic
from topologies.naming import natural

COMMON = 50
"""How many of the most frequent sets of NICs a host is compared with."""

_HCA = re.compile(r"HCA-(\d{1,4})")
_MLX = re.compile(r"mlx5_(\d{1,4})")


@dataclass
class Shares:
    """Links of one host to switches.

    Attributes
    ----------
    devices: for each device, the NICs that serve it and which part of each.
    whole: ports that serve the host as a whole.
    """

    devices: dict[str, list[tuple[Port, float]]] = field(default_factory=dict)
    whole: list[Port] = field(default_factory=list)


def usual_nics(ports_of: Mapping[str, Sequence[Port]]) -> dict[str, tuple[str, ...]]:
    """The names of the NICs that each host should have: those of the most hosts that have all of its own.

    >>> full, short = [Port("a", n, "s") for n in ("m0", "m1")], [Port("c", "m0", "s")]
    >>> usual_nics({"a": full, "b": full, "c": short})["c"]
    ('m0', 'm1')
    """
    own = {host: tuple(sorted({port.hca for port in ports}, key=natural)) for host, ports in ports_of.items()}
    count = Counter(own.values())
    best: dict[tuple[str, ...], tuple[str, ...]] = {}
    common = [names for names, _ in count.most_common(COMMON)]
    for names in count:
        fitting = [other for other in (names, *common) if set(names) <= set(other)]
        best[names] = max(fitting, key=lambda other: (count[other], len(other), other))
    return {host: best[names] for host, names in own.items()}


def shares(machine: Machine, ports: Sequence[Port], usual: Sequence[str], notes: Notes) -> Shares:
    """Distribute the ports of a host over its devices.

    A file that tells which NICs are near which device decides; else NIC i, in order of names, serves device i where
    there are at least as many as devices. Otherwise all NICs serve the host as a whole.
    """
    found = Shares()
    by_name: dict[str, list[Port]] = {}
    for port in ports:
        by_name.setdefault(port.hca, []).append(port)
    allotted = _allotted(machine, ports, usual, notes) if len(usual) > 1 or usual[0] else None
    if allotted is None:
        found.whole = list(ports)
        return found
    for device, parts in allotted.items():
        for nic, share in parts:
            for port in by_name.get(nic, []):
                found.devices.setdefault(device, []).append((port, share))
    return found


def _allotted(
    machine: Machine, ports: Sequence[Port], usual: Sequence[str], notes: Notes
) -> dict[str, list[tuple[str, float]]] | None:
    """NICs of each device and the part of each that is its own; None where they serve the host as a whole."""
    near = _near(machine, ports, usual)
    if near is None:
        if len(usual) < len(machine.slots):
            return None
        near = {slot.name: tuple(usual) for slot in machine.slots}
        notes.assume(
            "no file tells which NIC is near which device: NIC i of a host, in order of names, serves device i"
        )
    groups: dict[tuple[str, ...], list[str]] = {}
    for device, nics in near.items():
        groups.setdefault(nics, []).append(device)
    allotted: dict[str, list[tuple[str, float]]] = {}
    for nics, devices in groups.items():
        if nics and not (len(nics) % len(devices) == 0 or len(devices) % len(nics) == 0):
            return None
        for index, device in enumerate(devices if nics else ()):
            each = len(nics) // len(devices)
            mine = nics[index * each : (index + 1) * each] if each else (nics[index * len(nics) // len(devices)],)
            allotted[device] = [(nic, 1.0 if each else len(nics) / len(devices)) for nic in mine]
    return allotted


def _near(machine: Machine, ports: Sequence[Port], usual: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
    """The NICs near each device, by their names on the fabric; None where the machine does not tell."""
    told = {slot.name: slot.nics for slot in machine.slots if slot.nics is not None}
    if not told or not all(told.values()):
        return None
    wanted = {nic for near in told.values() for nic in near}
    used = [nic for nic in machine.nics if nic.name in wanted]
    for same in _readings(used, ports, usual):
        near = {device: tuple(same[nic] for nic in nics if nic in same) for device, nics in told.items()}
        if all(near.values()):
            left = tuple(name for name in usual if name not in same.values())
            return {slot.name: near.get(slot.name, left) for slot in machine.slots}
    return None


def _readings(used: Sequence[Nic], ports: Sequence[Port], usual: Sequence[str]) -> Iterator[dict[str, str]]:
    """The fabric's names of the NICs of a machine: by GUID, by name or number, by order where they are as many."""
    by_guid = {port.guid: port.hca for port in ports if port.guid}
    yield {nic.name: by_guid[nic.guid] for nic in used if nic.guid in by_guid}
    numbers = {_number(name): name for name in usual}
    yield {nic.name: numbers[_number(nic.name)] for nic in used if _number(nic.name) in numbers}
    if len(used) == len(usual):
        yield {nic.name: name for nic, name in zip(used, usual, strict=True)}


def _number(name: str) -> str:
    """A name that is the same for ``HCA-1`` and ``mlx5_0``."""
    if found := _HCA.fullmatch(name):
        return f"#{int(found[1]) - 1}"
    found = _MLX.fullmatch(name)
    return f"#{int(found[1])}" if found else name
