"""In which unit a trace counts time: by what its field means, then by what is plausible, else the user is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from solver.errors import BadInput, UnknownName
from solver.traces.record import Broken, real

#: Units that an option may name, with their length [s].
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
#: Requests a second between which a trace is believed to lie; faster ones are of another unit.
SLOWEST, FASTEST = 0.02, 300.0
#: A fraction of a millisecond is unusual: a trace with fractions and more requests a second than this may count seconds.
FRACTIONS_FROM = 20.0
#: Requests below which nothing is told from their rate.
FEWEST = 4
_EPOCH = {"s": (1e9, 1e10), "ms": (1e12, 1e13), "us": (1e15, 1e16), "ns": (1e18, 1e19)}
_SUFFIXES = (("_ms", "ms"), ("_ns", "ns"), ("nano", "ns"), ("_us", "us"), ("_s", "s"), ("_sec", "s"), ("_seconds", "s"))


def unit_named(option: str) -> str:
    """A unit by its name; ``auto`` stays.

    Raises
    ------
    UnknownName
    """
    if option not in (*UNITS, "auto"):
        raise UnknownName("time unit", option[:20], [*UNITS, "auto"])
    return option


def unit_of_key(key: str) -> str:
    """The unit that the name of a field tells; empty if none.

    >>> unit_of_key("arrival_s"), unit_of_key("startTimeUnixNano"), unit_of_key("timestamp")
    ('s', 'ns', '')
    """
    name = key.lower()
    return next((unit for suffix, unit in _SUFFIXES if name.endswith(suffix)), "")


def unit_of(values: Sequence[float], meant: str, key: str, file: str) -> str:
    """The unit of some times, the first of a trace.

    Parameters
    ----------
    meant: what the format says of them; empty if it says nothing.
    key: of the field, for messages.

    Raises
    ------
    BadInput: neither the format nor the rate tells.
    """
    if len(values) < FEWEST or max(values) <= min(values):
        return meant or "s"
    low = min(values)
    for unit, (first, last) in _EPOCH.items():
        if first <= low < last and (not meant or unit == meant or not _plausible(values, meant)):
            return unit
    whole = all(float(value).is_integer() for value in values)
    if meant == "ms":
        rate = _rate(values, "ms")
        if rate <= (FASTEST if whole else FRACTIONS_FROM):
            return "ms"
        if rate > FASTEST and _plausible(values, "s"):
            return "s"
    elif meant or _plausible(values, "s") or (not whole and _rate(values, "s") <= FASTEST):
        return meant or "s"
    told = ", ".join(f"{_rate(values, unit):.3g} requests/s in {unit}" for unit in UNITS)
    raise BadInput(
        f"{file}: {key!r} may count seconds or milliseconds ({told}); say which with --time-unit s or --time-unit ms"
    )


def _rate(values: Sequence[float], unit: str) -> float:
    return (len(values) - 1) / ((max(values) - min(values)) * UNITS[unit])


def _plausible(values: Sequence[float], unit: str) -> bool:
    return SLOWEST <= _rate(values, unit) <= FASTEST


def moment(value: object, name: str) -> tuple[float, bool]:
    """A time and whether it is a date: a number in some unit, or a date and time as seconds since 1970.

    >>> moment("12.5", "t"), moment("1970-01-02T00:00:00.25+00:00", "t")
    ((12.5, False), (86400.25, True))

    Raises
    ------
    Broken
    """
    if isinstance(value, str) and len(value) >= 10 and value[4:5] == "-":
        try:
            found = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            raise Broken(f"{name} is not a date and time ({value[:40]!r})") from None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp(), True
    return real(value, name), False


def is_time(value: float) -> bool:
    """Whether a number can be a time at all."""
    return math.isfinite(value) and value >= 0
