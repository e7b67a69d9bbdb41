"""The tiers in which idle KV can wait, nearest first: the one list of them.

Users ask a tier where it lies instead of what it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

KVTierName = Literal["hbm", "dram", "flash", "remote"]
#: Where a tier lies: on the device itself, in its host's memory or storage, or in stores on switches that all share.
Whereabouts = Literal["device", "host memory", "host storage", "shared storage"]


@dataclass(frozen=True)
class MemoryTier:
    """One tier.

    Attributes
    ----------
    name: in files. title: for people.
    link: whose bandwidth limits a device's loads and writes: that of its way to the host, or of its share of the
        scale-out fabric; None where bytes stay on the device.
    price_fields: fields of a scenario's ``prices`` that say what it costs [USD/(GB h)], the first that is given.
    """

    name: KVTierName
    title: str
    lies: Whereabouts
    link: Literal["host_link", "scale_out"] | None
    price_fields: tuple[str, ...]

    @property
    def until_field(self) -> str:
        """Field of a plan's record that says at which age idle KV leaves the tier [s]."""
        return f"{self.name}_until_s"

    def usd_per_gb_hour(self, prices: Mapping[str, float]) -> float | None:
        """Price in a scenario's table; None where it has none."""
        return next((prices[field] for field in self.price_fields if field in prices), None)


HBM = MemoryTier("hbm", "HBM", "device", None, ())
DRAM = MemoryTier("dram", "DRAM", "host memory", "host_link", ("dram_usd_per_GB_hour",))
FLASH = MemoryTier("flash", "flash", "host storage", "host_link", ("flash_usd_per_GB_hour",))
REMOTE = MemoryTier(
    "remote", "remote store", "shared storage", "scale_out", ("remote_usd_per_GB_hour", "flash_usd_per_GB_hour")
)

#: All tiers, nearest first.
TIERS: tuple[MemoryTier, ...] = (HBM, DRAM, FLASH, REMOTE)
#: Those beyond the device.
BEYOND: tuple[MemoryTier, ...] = tuple(tier for tier in TIERS if tier.lies != "device")


def tier_of(name: str) -> MemoryTier:
    """The tier of that name in a file."""
    return next(tier for tier in TIERS if tier.name == name)
