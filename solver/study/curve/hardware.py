"""Clusters that may not exist: the devices of a cluster in scale-up domains of another size."""

from __future__ import annotations

from typing import Any

from solver.errors import BadInput
from topologies import Device

#: Devices of one host, as in the racks that exist.
TRAY = 4
#: Sizes of scale-up domains that exist or are announced.
SIZES = (4, 8, 16, 36, 72, 144, 288, 576)


def in_domains(device: Device, devices: int, domain: int, usd_per_hour: float) -> dict[str, Any]:
    """So many devices in racks that are one scale-up domain each, as a scenario has a cluster.

    Parameters
    ----------
    device: gives everything that is not changed. usd_per_hour: of one device.

    Raises
    ------
    BadInput: a domain that no number of hosts makes, or that does not divide the devices.
    """
    if domain < 1 or devices % domain or (domain > TRAY and domain % TRAY):
        fitting = ", ".join(map(str, domain_sizes(devices)))
        raise BadInput(
            f"curve: {devices} devices in domains of {domain}: domains must be whole hosts of {TRAY} and divide the devices; "
            f"{fitting} do"
        )
    changed = {
        "name": f"{device.name}-x{domain}",
        "scale_up_domain": domain,
        "devices_per_host": min(TRAY, domain),
        "usd_per_hour": usd_per_hour,
    }
    return {
        "builder": "nvl72",
        "racks": devices // domain,
        "trays_per_rack": max(1, domain // TRAY),
        "device": device.plain() | changed,
    }


def domain_sizes(devices: int) -> list[int]:
    """Sizes of scale-up domains into which so many devices divide.

    >>> domain_sizes(144)
    [4, 8, 16, 36, 72, 144]
    """
    return [size for size in SIZES if devices % size == 0]
