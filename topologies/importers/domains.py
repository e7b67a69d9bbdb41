"""Which scale-up domain each host belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from topologies.hardware import Device
from topologies.importers.fabric import Fabric
from topologies.importers.fill import Fill
from topologies.importers.findings import Notes, counted, listed
from topologies.importers.machine import Machine


def labels_of(
    machines: Mapping[str, tuple[Machine, Mapping[str, Device]]], fabric: Fabric | None, fill: Fill, notes: Notes
) -> dict[str, str]:
    """Label of the domain of each host that shares one with other hosts.

    Copies of one host fill domains in turn; hosts of a fabric share those that its file tells, if their devices can.
    """
    reach = {host: min(kind.scale_up_domain for kind in kinds.values()) for host, (_, kinds) in machines.items()}
    wide = [host for host, (_, kinds) in machines.items() if all(_reaches_beyond(kind) for kind in kinds.values())]
    if fabric is not None and fabric.domains:
        return _told(machines, fabric, set(wide), reach, notes)
    untold = [host for host in wide if not all(slot.domain for slot in machines[host][0].slots)]
    if len(machines) > 1 and untold and fill.hosts is not None:
        each = max(1, reach[untold[0]] // len(machines[untold[0]][0].slots))
        notes.assume(f"hosts fill scale-up domains in turn, {each} hosts to one, as in the catalog")
        return {host: f"domain{index // each}" for index, host in enumerate(untold)}
    if len(machines) > 1 and untold:
        alone = counted(len(untold), "host")
        notes.assume(f"no file tells of scale-up domains beyond the host: {alone} taken as domains of their own")
    return {}


def _reaches_beyond(kind: Device) -> bool:
    """Whether the scale-up switches of a device are made to join several hosts."""
    return kind.scale_up_fabric == "switch" and kind.scale_up_domain > kind.devices_per_host


def _told(
    machines: Mapping[str, tuple[Machine, Mapping[str, Device]]],
    fabric: Fabric,
    wide: set[str],
    reach: Mapping[str, int],
    notes: Notes,
) -> dict[str, str]:
    labels: dict[str, str] = {}
    narrow: list[str] = []
    for label, members in fabric.domains.items():
        hosts = [host for host in members if host in machines]
        size = sum(len(machines[host][0].slots) for host in hosts)
        if all(host in wide and size <= reach[host] for host in hosts):
            labels |= dict.fromkeys(hosts, label)
        elif len(hosts) > 1:
            narrow.append(label)
    if narrow:
        notes.assume(
            f"domains {listed(narrow)} hold more devices than theirs can join by the catalog: each host is its own"
        )
    return labels
