"""Checks of what builders are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topologies import units
from topologies.errors import BadInput
from topologies.hardware import Device, device
from topologies.schema import MAX_DEVICES, MOST_AMOUNT

Size = float | int | str


def count(value: object, what: str, least: int = 1, most: int = MAX_DEVICES) -> int:
    """A whole number within limits."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadInput(f"{what} is {str(value)[:40]}; it must be a whole number from {least:,} to {most:,}")
    return value


def ratio(value: object, what: str) -> float:
    """An oversubscription: downlinks over uplinks, at least a hundredth and at most 1,000."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0.01 <= value <= 1000
    if not good:
        raise BadInput(f"{what} is {str(value)[:40]}; it must be a number from 0.01 to 1,000 (1 = no oversubscription)")
    return float(value)  # type: ignore[arg-type]


def within_limit(devices: int) -> None:
    """Refuse clusters that nothing here is meant for."""
    if devices > MAX_DEVICES:
        raise BadInput(f"the cluster would have {devices:,} devices; {MAX_DEVICES:,} is the most")


@dataclass(frozen=True)
class HostShape:
    """What every host of a builder holds.

    Attributes
    ----------
    device: its kind of device; own says whether the cluster defines it.
    devices: how many.
    dram_bytes, flash_bytes: memory and local flash [bytes]; no storage vertex where flash is zero.
    flash_bytes_per_s: of all its drives [bytes/s].
    """

    device: Device
    own: bool
    devices: int
    dram_bytes: float
    flash_bytes: float
    flash_bytes_per_s: float

    @classmethod
    def of(
        cls,
        kind: str | Device | Mapping[str, Any],
        devices: int | None,
        dram_bytes: Size | None,
        flash_bytes: Size | None,
    ) -> HostShape:
        """The catalog's host for that device, changed where a value is given."""
        chosen = device(kind) if isinstance(kind, str) else kind if isinstance(kind, Device) else Device.parse(kind)
        number = chosen.devices_per_host if devices is None else count(devices, "devices_per_host", most=1024)
        dram = chosen.host_dram_bytes * number if dram_bytes is None else _size(dram_bytes, "dram_bytes_per_host")
        flash = chosen.flash_bytes_per_host if flash_bytes is None else _size(flash_bytes, "flash_bytes_per_host")
        rate = chosen.flash_bytes_per_s or FLASH_BYTES_PER_S
        return cls(chosen, not isinstance(kind, str), number, dram, flash, rate)


FLASH_BYTES_PER_S = 16e9
"""Flash bandwidth of a host whose device states none [bytes/s]: four drives of PCIe gen4 at 4 GB/s."""


def _size(value: Size, what: str) -> float:
    read = units.size(value)
    if not 0 <= read <= MOST_AMOUNT:
        raise BadInput(f"{what} is {str(value)[:40]}; it must be at least 0 and at most {MOST_AMOUNT:g} bytes")
    return read
