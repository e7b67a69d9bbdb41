"""Numbers as people read them: money, shares, counts."""

from __future__ import annotations

import math


def usd(value: float) -> str:
    """An amount of money with about four digits.

    >>> usd(0.0895126), usd(-1.2437), usd(25600.4), usd(-1e-17)
    ('$0.0895', '-$1.24', '$25,600', '$0')
    """
    if abs(value) < 0.5e-8:
        return "$0"
    if value < 0:
        return f"-{usd(-value)}"
    decimals = 0 if value >= 1000 else min(8, max(2, 2 - math.floor(math.log10(value))))
    return f"${value:,.{decimals}f}"


def percent(share: float) -> str:
    """A share with two significant digits, and never rounded to nothing or to everything.

    >>> percent(0.27312), percent(0.00339), percent(0.9996), percent(1), percent(-1e-17)
    ('27%', '0.34%', '99.96%', '100%', '0%')
    """
    value = share * 100
    if abs(value) < 0.5e-6 or not math.isfinite(value):
        return "0%" if math.isfinite(value) else "unlimited"
    if 99 < value < 100:
        return f"{value:.2f}%" if value < 99.995 else "99.99%"
    decimals = max(0, 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(decimals, 6)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def quantity(value: float) -> str:
    """A figure with four digits, without an exponent.

    >>> quantity(100000.0), quantity(11.4287), quantity(0.5)
    ('100,000', '11.43', '0.5')
    """
    if value == 0:
        return "0"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(decimals, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plural(count: int, one: str, many: str = "") -> str:
    """A count and what is counted.

    >>> plural(1, "rank"), plural(1200, "rank"), plural(2, "switch", "switches")
    ('1 rank', '1,200 ranks', '2 switches')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def ranges(numbers: list[int]) -> str:
    """Whole numbers, runs of them shortened.

    >>> ranges([3, 4, 5, 9])
    '3–5, 9'
    """
    runs: list[list[int]] = []
    for value in sorted(numbers):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)
