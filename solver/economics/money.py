"""Dollars per token from devices and rates, and the accounts of a day."""

from __future__ import annotations

from dataclasses import dataclass

from solver.economics.roofline import prefill_s

SECONDS_PER_HOUR = 3600.0


def usd_per_million_tokens(devices: float, usd_per_device_hour: float, tokens_per_s: float) -> float:
    """Rent over output.

    >>> round(usd_per_million_tokens(8, 2.0, 14800), 4)
    0.3003
    """
    return devices * usd_per_device_hour / SECONDS_PER_HOUR / tokens_per_s * 1e6


def compute_floor(
    active_parameters: float, flops: float, usd_per_device_hour: float, utilisation: float = 1.0
) -> float:
    """USD per million tokens if nothing but arithmetic took time: ``2 N / (F u)`` device-seconds each.

    Erdil (arXiv:2506.04645, section 4.3) prints 0.11 for Llama-3-70B "at 100 %"; that is its value at the 70 % cap.
    """
    return prefill_s(active_parameters, 1, 1, flops, utilisation) * usd_per_device_hour / SECONDS_PER_HOUR * 1e6


@dataclass(frozen=True, kw_only=True)
class ServingDay:
    """A day of a serving fleet as its operator accounts for it.

    Attributes
    ----------
    hosts: mean hosts in use. devices_per_host, usd_per_device_hour: what they are.
    cached_tokens, prompt_tokens, output_tokens: prompt tokens found in caches, those computed, and output.
    usd_per_million: list prices of the three, in that order.

    Source: DeepSeek, Open Source Week day 6 (2025): 87,072 USD a day, theoretical income 562,027 USD, margin 545 %.
    """

    hosts: float
    usd_per_device_hour: float
    cached_tokens: float
    prompt_tokens: float
    output_tokens: float
    usd_per_million: tuple[float, float, float]
    devices_per_host: int = 8

    @property
    def cost_usd(self) -> float:
        """Rent of the day."""
        return self.hosts * self.devices_per_host * 24 * self.usd_per_device_hour

    @property
    def revenue_usd(self) -> float:
        """What all tokens bring at list price."""
        tokens = self.cached_tokens, self.prompt_tokens, self.output_tokens
        return sum(count / 1e6 * price for count, price in zip(tokens, self.usd_per_million, strict=True))

    @property
    def margin(self) -> float:
        """Profit over cost, as DeepSeek states it (over revenue it would be 85 %)."""
        return (self.revenue_usd - self.cost_usd) / self.cost_usd


#: 28 February 2025, as published.
DEEPSEEK_DAY = ServingDay(
    hosts=226.75,
    usd_per_device_hour=2.0,
    cached_tokens=342e9,
    prompt_tokens=266e9,
    output_tokens=168e9,
    usd_per_million=(0.14, 0.55, 2.19),
)
