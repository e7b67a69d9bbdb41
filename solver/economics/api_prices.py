"""What an API's list prices imply about how it serves: prices follow costs, so the roofline can be read backwards.

Three readings, each a bound that no list price proves:

- Output over input. A prompt token costs arithmetic only; an output token costs ``max(1, r + B*/B)`` times as much
  (:mod:`solver.economics.roofline`). The ratio therefore gives the batch.
- A step at long contexts stands where reading KV caches costs what arithmetic does, which gives KV bytes per token.
- A cache read costs ``read`` of recomputing, so the store gives its bytes back at least so fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from solver.economics.capacity import balanced_kv_bytes
from solver.economics.roofline import prefill_s
from solver.errors import BadInput

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices

Rates = tuple[float, float]


@dataclass(frozen=True)
class ListPrices:
    """Published prices of a model [USD per million tokens].

    Attributes
    ----------
    input, output, cached: up to the step (cached 0 = not offered).
    step: context from which prices are higher [tokens]; 0 = none. input_beyond, output_beyond: prices from there on.
    """

    input: float
    output: float
    cached: float = 0.0
    step: int = 0
    input_beyond: float = 0.0
    output_beyond: float = 0.0

    def __post_init__(self) -> None:
        if self.input <= 0 or self.output <= 0:
            raise BadInput(f"prices: input and output must cost something, not {self.input:g} and {self.output:g}")

    @property
    def output_over_input(self) -> float:
        """How much dearer an output token is."""
        return self.output / self.input

    @property
    def cached_over_input(self) -> float:
        """Price of a cached token over one that is computed; 0 where caching is not offered."""
        return self.cached / self.input

    def batch_over_balance(self, kv_slope_ratio: float = 0.0) -> float:
        """Batch that the output price pays for, over the balance batch: ``1 / (output/input - r)``.

        >>> ListPrices(3.0, 15.0).batch_over_balance()
        0.2

        Raises
        ------
        BadInput: prices that reading the KV caches alone would exceed.
        """
        room = self.output_over_input - kv_slope_ratio
        if room <= 0:
            raise BadInput(
                f"prices: output costs {self.output_over_input:g} times input, but reading KV caches alone costs "
                f"{kv_slope_ratio:g} times a token's arithmetic: the price follows no cost at this context"
            )
        return 1 / room

    def store_bytes_per_s(self, kv_bytes_per_token: float, active_parameters: float, flops: float) -> float:
        """Least bandwidth per device at which cached tokens must come back for their price to cover the device's time.

        Recomputing a token takes ``2 N / F``; loading it at ``W`` takes ``k / W``.
        """
        if self.cached <= 0:
            raise BadInput("prices: no price for cached input is published")
        return kv_bytes_per_token / (prefill_s(active_parameters, 1, 1, flops) * self.cached_over_input)

    def kv_bytes_per_token(self, active_parameters: float, balance_ratio: float, bytes_per_weight: float) -> float:
        """KV bytes per token for which the step stands at the balance of reading and arithmetic: ``N w / (R L)``."""
        if not self.step:
            raise BadInput("prices: no step at long contexts is published")
        return balanced_kv_bytes(active_parameters, bytes_per_weight, balance_ratio) / self.step


def published(model: str, provider: str | None = None) -> ModelPrice:
    """A model's entry in the offline data of the package genai-prices (extra ``prices``) [USD per million tokens].

    Raises
    ------
    BadInput: the package is not installed, or does not know the model.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        raise BadInput("published prices come from the package genai-prices: pip install 'rackplan[prices]'") from None
    try:
        return calc_price(Usage(input_tokens=1), model_ref=model, provider_id=provider).model_price
    except LookupError:
        raise BadInput(f"genai-prices knows no model {model[:80]!r}; pass its provider too") from None


def list_prices(model: str, provider: str | None = None) -> ListPrices:
    """A model's list prices from the offline data of the package genai-prices (extra ``prices``).

    Raises
    ------
    BadInput: the package is not installed, or does not know the model or its prices.
    """
    found = published(model, provider)
    if found.input_mtok is None or found.output_mtok is None:
        raise BadInput(f"{model[:80]!r} has no published price per token")
    given, made = _rates(found.input_mtok), _rates(found.output_mtok)
    cached = _rates(found.cache_read_mtok)[0] if found.cache_read_mtok is not None else 0.0
    return ListPrices(given[0], made[0], cached, _step(found.input_mtok), given[1], made[1])


def _rates(price: Decimal | TieredPrices) -> Rates:
    """Price before and beyond the first step."""
    if isinstance(price, Decimal):
        return float(price), float(price)
    first = min(price.tiers, key=lambda tier: tier.start)
    return float(price.base), float(first.price)


def _step(price: Decimal | TieredPrices) -> int:
    return 0 if isinstance(price, Decimal) else min(tier.start for tier in price.tiers)
