"""What an API's prices of cached prompts imply: reads to break even, rent per byte, KV bytes per token."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.economics.api_prices import published
from solver.economics.hold_times import GIGABYTE
from solver.errors import BadInput


@dataclass(frozen=True)
class CachePrices:
    """Prices of one model's prompt cache [USD per million tokens].

    Attributes
    ----------
    base: an input token that is not cached.
    write, hold_s: an input token that is written to the cache, and how long it is kept [s].
    read: an input token that is found there.
    """

    base: float
    write: float
    read: float
    hold_s: float

    def __post_init__(self) -> None:
        if not self.base > 0 or not 0 <= self.read < self.base or not self.write >= 0 or not self.hold_s > 0:
            raise BadInput(
                f"cache prices of {self.base:g} (input), {self.write:g} (write) and {self.read:g} (read) for "
                f"{self.hold_s:g} s: input must cost more than a read, and the time be above 0"
            )

    @property
    def break_even_reads(self) -> float:
        """Reads at which writing has paid: ``(w - 1) / (1 - read)`` in units of the base price."""
        return (self.write / self.base - 1) / (1 - self.read / self.base)

    @property
    def reads_needed(self) -> int:
        """Whole reads after which caching is cheaper than not caching."""
        return max(math.floor(self.break_even_reads) + 1, 0)

    def implied_usd_per_gb_hour(self, kv_bytes_per_token: float) -> float:
        """Rent that the premium of a write would pay for, were it nothing but storage [USD/(GB h)]."""
        premium_usd = (self.write - self.base) / 1e6
        return premium_usd / (self.hold_s / 3600) / (kv_bytes_per_token / GIGABYTE)

    def implied_kv_bytes(self, usd_per_gb_hour: float) -> float:
        """KV bytes per token at which the premium of a write just pays a rent, were it nothing but storage."""
        return self.implied_usd_per_gb_hour(1.0) / usd_per_gb_hour


def listed(model: str, provider: str | None = None, hold_s: float = 300.0) -> tuple[CachePrices, int | None]:
    """A model's cache prices as published, and the context at which its price steps up (None: nowhere).

    Reads the offline data of the package genai-prices (extra ``prices``).

    Raises
    ------
    BadInput: the package is not installed, the model is not known to it, or it has no cache prices.
    """
    found = published(model, provider)
    from genai_prices.types import TieredPrices

    rates = [found.input_mtok, found.cache_write_mtok or found.input_mtok, found.cache_read_mtok]
    if rates[0] is None or rates[2] is None:
        raise BadInput(f"{model[:80]!r} has no published price for cached input")
    flat = [float((rate.base if isinstance(rate, TieredPrices) else rate) or 0) for rate in rates]
    step = min((tier.start for tier in rates[0].tiers), default=None) if isinstance(rates[0], TieredPrices) else None
    return CachePrices(flat[0], flat[1], flat[2], hold_s), step
