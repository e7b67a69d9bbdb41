"""Clusters that may not exist: a catalog device in racks of another scale-up domain, fabric or memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import topologies
from solver.errors import BadInput

#: Devices of one host, as in the racks that exist.
TRAY = 4


@dataclass(frozen=True)
class Hardware:
    """A cluster that may not exist.

    Attributes
    ----------
    device: of the catalog, which gives everything that is not changed, the price too.
    devices: in all. domain: of a scale-up domain.
    fabric_ratio: scale-up over scale-out bandwidth of a device; None = the device's own.
    hbm_bytes: of a device; None = its own.
    """

    device: str
    devices: int
    domain: int
    fabric_ratio: float | None = None
    hbm_bytes: float | None = None

    def cluster(self) -> dict[str, Any]:
        """The cluster as a scenario has it.

        Raises
        ------
        BadInput: a domain that no number of hosts makes, or that does not divide the devices.
        """
        if self.domain < 1 or self.devices % self.domain or (self.domain > TRAY and self.domain % TRAY):
            fitting = ", ".join(map(str, domain_sizes(self.devices)))
            raise BadInput(
                f"curve: {self.devices} devices in domains of {self.domain}: domains must be whole hosts of {TRAY} and "
                f"divide the devices; {fitting} do"
            )
        base = topologies.device(self.device)
        spec: dict[str, Any] = {
            "name": self.name,
            "like": self.device,
            "scale_up_domain": self.domain,
            "devices_per_host": min(TRAY, self.domain),
            "usd_per_hour": base.usd_per_hour,
        }
        if self.fabric_ratio is not None:
            spec["scale_out_bytes_per_s"] = base.scale_up_bytes_per_s / self.fabric_ratio
        if self.hbm_bytes is not None:
            spec["hbm_bytes"] = self.hbm_bytes
            spec["hbm_usable_bytes"] = base.hbm_usable_bytes * self.hbm_bytes / base.hbm_bytes
        return {
            "builder": "nvl72",
            "racks": self.devices // self.domain,
            "trays_per_rack": max(1, self.domain // TRAY),
            "device": spec,
        }

    @property
    def name(self) -> str:
        """Name of the device that is meant."""
        parts = [self.device, f"x{self.domain}"]
        if self.fabric_ratio is not None:
            parts.append(f"ratio{self.fabric_ratio:g}")
        if self.hbm_bytes is not None:
            parts.append(f"{self.hbm_bytes / 1e9:.0f}GB")
        return "-".join(parts)


def domain_sizes(devices: int, sizes: tuple[int, ...] = (4, 8, 16, 36, 72, 144, 288, 576)) -> list[int]:
    """Sizes of scale-up domains, of those that exist or are announced, into which so many devices divide.

    >>> domain_sizes(144)
    [4, 8, 16, 36, 72, 144]
    """
    return [size for size in sizes if devices % size == 0]
