"""Fast mode: what batches two price tiers imply, when price follows cost and both run on the same hardware.

On the lecture's roofline (:mod:`solver.economics.roofline`) the cost of a token is proportional to T(B)/B. A fast tier
that is ``s`` times as fast and ``p`` times as dear therefore runs at a batch ``p s`` times smaller.
"""

from __future__ import annotations

from typing import NamedTuple

from solver.errors import BadInput


class FastMode(NamedTuple):
    """Batches of the two tiers, in sequences.

    Attributes
    ----------
    standard, fast: batches. compute_bound: whether the standard tier is limited by arithmetic.
    """

    standard: float
    fast: float
    compute_bound: bool


def batch_ratio(price_ratio: float, speed_ratio: float) -> float:
    """Standard batch over fast batch: ``p s``, an identity of the roofline.

    >>> batch_ratio(6, 2.5)
    15.0
    """
    return price_ratio * speed_ratio


def largest_compute_bound_slope(price_ratio: float, speed_ratio: float) -> float:
    """Largest ratio r of KV reading to arithmetic per sequence at which the standard tier is compute-bound.

    ``(s - 1) / (s - 1/p)``.
    """
    return (speed_ratio - 1) / (speed_ratio - 1 / price_ratio)


def batches(price_ratio: float, speed_ratio: float, balance_batch: float, kv_slope_ratio: float = 0.0) -> FastMode:
    """Batches at which two tiers cost in the ratio of their prices.

    Parameters
    ----------
    price_ratio: p, price of the fast tier over the standard one. speed_ratio: s, tokens/s of a user likewise.
    balance_batch: B*. kv_slope_ratio: r = Tk / Tc, reading of a KV cache over arithmetic of a sequence.

    >>> batches(6, 2.5, 2400)
    FastMode(standard=6000.0, fast=400.0, compute_bound=True)

    Raises
    ------
    BadInput: a ratio that is no premium.
    """
    if price_ratio <= 1 or speed_ratio <= 1:
        raise BadInput(f"fast mode: both ratios must exceed 1, not price {price_ratio:g} and speed {speed_ratio:g}")
    r = kv_slope_ratio
    compute_bound = r <= largest_compute_bound_slope(price_ratio, speed_ratio)
    if compute_bound:
        standard = speed_ratio * balance_batch / (1 - r / price_ratio)
    else:
        standard = (speed_ratio - 1) * balance_batch / (r * (1 - 1 / price_ratio))
    return FastMode(standard, standard / batch_ratio(price_ratio, speed_ratio), compute_bound)
