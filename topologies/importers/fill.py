"""What the caller adds to what files say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topologies.builders.arguments import count, ratio
from topologies.errors import BadInput
from topologies.hardware import Device
from topologies.importers import products

MAX_HOSTS = 50_000


@dataclass(frozen=True)
class Fill:
    """What to take where files are silent, and what to take instead of what they say.

    Attributes
    ----------
    device: kind of every device; overrides products in files.
    devices_per_host: for hosts that no file describes; the device's default if not given.
    hosts: copies of the one host that files describe.
    oversubscription: bandwidth into a switch from below over its bandwidth to above, where files give no speeds.
    """

    device: Device | None = None
    devices_per_host: int | None = None
    hosts: int | None = None
    oversubscription: float = 1.0

    @classmethod
    def of(
        cls,
        device: str | Device | Mapping[str, Any] | None,
        devices_per_host: int | None,
        hosts: int | None,
        oversubscription: float,
    ) -> Fill:
        """Check the arguments of an import."""
        if hosts is not None:
            count(hosts, "hosts", most=MAX_HOSTS)
        if devices_per_host is not None:
            count(devices_per_host, "devices_per_host", most=1024)
        return cls(_device(device), devices_per_host, hosts, ratio(oversubscription, "oversubscription"))


def _device(given: str | Device | Mapping[str, Any] | None) -> Device | None:
    if given is None or isinstance(given, Device):
        return given
    if isinstance(given, str):
        return products.find(given)
    if isinstance(given, Mapping):
        return Device.parse(given)
    raise BadInput(f"device is {given!r:.60}; it must be a catalog name, a product name or a device definition")
