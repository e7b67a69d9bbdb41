"""Where idle KV should live, by arithmetic: hold times that break even, the drain rule, and what API prices imply.

Holding ``b`` bytes for ``T`` seconds in a tier costs ``h b T``; getting them back costs ``r b`` (time on the tier's link,
and the device if it waits), and computing them again costs prefill time. The planner decides the same question jointly
with the layout (:mod:`solver.optimize.layout.kv_tiers`); these closed forms tell why it decides as it does.

Source: R. Pope with D. Patel, "How to build and serve an LLM" (lecture, 2026-04-29), cost table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.errors import BadInput

HOUR_S = 3600.0
GIGABYTE = 1e9


@dataclass(frozen=True)
class Tier:
    """One place where KV can wait.

    Attributes
    ----------
    usd_per_s: rent of the whole tier [USD/s].
    capacity_bytes: what it holds.
    bytes_per_s: how fast it gives back.
    """

    name: str
    usd_per_s: float
    capacity_bytes: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        for what in ("capacity_bytes", "bytes_per_s"):
            value = getattr(self, what)
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"tier {self.name!r}: {what} of {value:g} is not above 0; leave the tier out instead")
        if not (math.isfinite(self.usd_per_s) and self.usd_per_s >= 0):
            raise BadInput(f"tier {self.name!r}: a rent of {self.usd_per_s:g} USD/s is not a price of at least 0")

    @property
    def drain_s(self) -> float:
        """Time to read the whole tier once [s]: it suits KV that waits about as long."""
        return self.capacity_bytes / self.bytes_per_s

    def hold_usd(self, size_bytes: float, hold_s: float) -> float:
        """Rent of the share of the tier that a size takes for a time [USD]."""
        return self.hold_share_s(size_bytes, hold_s) * self.usd_per_s

    def hold_share_s(self, size_bytes: float, hold_s: float) -> float:
        """Seconds of the whole tier's capacity that holding takes."""
        return size_bytes / self.capacity_bytes * hold_s

    def retrieve_share_s(self, size_bytes: float) -> float:
        """Seconds of the whole tier's bandwidth that reading back takes."""
        return size_bytes / self.bytes_per_s

    def retrieve_usd(self, size_bytes: float, stalled_usd_per_s: float = 0.0) -> float:
        """Rent of the tier, and of devices that wait, while a size is read back [USD]."""
        return self.retrieve_share_s(size_bytes) * (self.usd_per_s + stalled_usd_per_s)


def break_even_s(
    dear: Tier, cheap: Tier, size_bytes: float = 1.0, stalled_usd_per_s: tuple[float, float] = (0.0, 0.0)
) -> float:
    """Hold time beyond which the tier with the lower rent per byte is the cheaper one [s].

    ``T* = (r_cheap - r_dear) / (h_dear - h_cheap)``; 0 where the cheap one is also cheaper to read, infinite where it
    is not cheaper to hold.

    >>> hbm, dram = Tier("HBM", 2 / 3600, 80e9, 3.35e12), Tier("DRAM", 0.25 / 3600, 2e12, 60e9)
    >>> round(break_even_s(hbm, dram, stalled_usd_per_s=(0.0, 2 / 3600)), 2)
    1.48
    """
    held = dear.hold_usd(size_bytes, 1.0) - cheap.hold_usd(size_bytes, 1.0)
    read = cheap.retrieve_usd(size_bytes, stalled_usd_per_s[1]) - dear.retrieve_usd(size_bytes, stalled_usd_per_s[0])
    if held <= 0:
        return math.inf
    return max(read / held, 0.0)


def recompute_break_even_s(
    tier: Tier, kv_bytes_per_token: float, recompute_s: float, device_usd_per_s: float, stalled_usd_per_s: float = 0.0
) -> float:
    """Hold time beyond which dropping KV and computing it again is cheaper than keeping it in a tier [s].

    In HBM the price of the device cancels: ``T* = 2 N / (F u) C / k``. Zero where reading back costs more than
    computing.
    """
    spared = recompute_s * device_usd_per_s - tier.retrieve_usd(kv_bytes_per_token, stalled_usd_per_s)
    rent = tier.hold_usd(kv_bytes_per_token, 1.0)
    if spared <= 0:
        return 0.0
    return spared / rent if rent > 0 else math.inf


def recompute_against_hbm_s(recompute_s: float, hbm_bytes: float, kv_bytes_per_token: float) -> float:
    """The break-even of :func:`recompute_break_even_s` in HBM, where reading is free: ``recompute C / k`` [s]."""
    return recompute_s * hbm_bytes / kv_bytes_per_token


def decode_mfu(prefill_mfu: float, output_to_input_price: float) -> float:
    """Utilisation of compute in decode that the ratio of output and input prices implies."""
    return prefill_mfu / output_to_input_price
