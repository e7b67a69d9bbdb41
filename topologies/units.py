"""Quantities as people write them (``30ms``, ``141GB``, ``400Gbit/s``) and as Python holds them (SI floats).

Inside Python every quantity is an SI float: bytes, seconds, FLOP, watts, USD. Files and the command line spell the
unit.
"""

from __future__ import annotations

import math
import re

from topologies.errors import BadInput

_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BINARY = {f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGTP", start=1)}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {f"{prefix}B": factor for prefix, factor in (_DECIMAL | _BINARY).items()}
_BANDWIDTHS = {f"{unit}/s": factor for unit, factor in _BYTES.items()} | {
    f"{prefix}{bit}": factor / 8 for prefix, factor in _DECIMAL.items() for bit in ("bit/s", "bps", "b/s")
}
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\s\d]*)\s*")


def parse(text: object, units: dict[str, float], quantity: str, bare: bool = True) -> float:
    """Read a number with an optional unit; a bare number is taken in the SI unit.

    Parameters
    ----------
    text: what the user wrote; numbers pass through.
    units: factor to SI by unit.
    quantity: the word used in the error.
    bare: whether a number without a unit is accepted.

    Raises
    ------
    BadInput: not a finite number, or a unit that is not known.
    """
    if isinstance(text, bool):
        raise BadInput(f"{text!r} is not a {quantity}")
    spelled = ", ".join(unit for unit in units if unit)
    if isinstance(text, int | float):
        value, unit = _finite(text, quantity), ""
    elif not isinstance(text, str):
        raise BadInput(f"a {quantity} is a number with a unit, not a {type(text).__name__}")
    else:
        found = _NUMBER.fullmatch(text[:100])
        if not found:
            raise BadInput(f"{text[:100]!r} is not a {quantity}; write a number and one of {spelled}")
        value, unit = float(found[1]), found[2]
    if not unit and bare:
        factor = 1.0
    elif unit in units:
        factor = units[unit]
    else:
        raise BadInput(f"{str(text)[:100]!r}: {unit!r} is not a unit of {quantity}; use one of {spelled}")
    result = value * factor
    if not math.isfinite(result):
        raise BadInput(f"{str(text)[:100]!r} is not a finite {quantity}")
    return result


def _finite(number: float, quantity: str) -> float:
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise BadInput(f"{quantity} must be a finite number")
    return value


def seconds(text: object) -> float:
    """Read a time as seconds.

    >>> seconds("30ms"), seconds("1.5h"), seconds(2)
    (0.03, 5400.0, 2.0)
    """
    return parse(text, _SECONDS, "time")


def size(text: object) -> float:
    """Read a size as bytes (decimal prefixes are powers of 1000, binary ones powers of 1024).

    >>> size("141GB"), size("64KiB")
    (141000000000.0, 65536.0)
    """
    return parse(text, _BYTES, "size")


def bandwidth(text: object) -> float:
    """Read a bandwidth as bytes per second.

    >>> bandwidth("450GB/s"), bandwidth("400Gbit/s")
    (450000000000.0, 50000000000.0)
    """
    return parse(text, _BANDWIDTHS, "bandwidth")


def show_seconds(value: float) -> str:
    """Write a time with three significant digits.

    >>> show_seconds(0.03), show_seconds(2.5e-6), show_seconds(5400)
    ('30 ms', '2.5 us', '1.5 h')
    """
    if value == 0:
        return "0 s"
    if not math.isfinite(value):
        return "forever"
    for unit in ("d", "h", "min", "s", "ms", "us", "ns"):
        if abs(value) >= _SECONDS[unit] * (2 if unit == "d" else 1) or unit == "ns":
            return f"{_digits(value / _SECONDS[unit])} {unit}"
    raise AssertionError(value)


def show_bytes(value: float) -> str:
    """Write a size with three significant digits.

    >>> show_bytes(141e9), show_bytes(512)
    ('141 GB', '512 B')
    """
    return _prefixed(value, "B")


def show_bandwidth(value: float) -> str:
    """Write a bandwidth with three significant digits.

    >>> show_bandwidth(50e9)
    '50 GB/s'
    """
    return _prefixed(value, "B/s")


def _prefixed(value: float, unit: str) -> str:
    for prefix in ("P", "T", "G", "M", "k"):
        if abs(value) >= _DECIMAL[prefix]:
            return f"{_digits(value / _DECIMAL[prefix])} {prefix}{unit}"
    return f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    """Three significant digits, without an exponent and without trailing zeros."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
