"""What an hour of a device costs, by who asks it and on which terms: each price with its basis, source and date.

A plan compares prices of one basis: three years' commitment costs less than half of what is asked on demand, so that a
mixture would say which terms are cheaper, not which device.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from topologies.errors import BadInput, UnknownName
from topologies.hardware import Device

#: Terms of a price: rented by the hour, for three years, while nobody else wants it; owned, with host, space and power; set
#: by an author to calculate with.
Basis = Literal["on-demand", "reserved-3y", "spot", "ownership", "assumed"]
#: The terms that a scenario may ask for by themselves; any other price is asked for by its source.
COMPARABLE: tuple[Basis, ...] = ("on-demand", "reserved-3y")
SOURCE = "source:"


@dataclass(frozen=True)
class ListPrice:
    """One price of one device.

    Attributes
    ----------
    usd_per_hour: for one device [USD/h]; source: key in the catalog; basis: its terms, None where a device of one's own
        names a source that the catalog does not have.
    title: where it comes from, for people; as_of: the day it was read.
    """

    usd_per_hour: float
    source: str
    basis: Basis | None = None
    title: str = ""
    as_of: str = ""

    def __str__(self) -> str:
        said = (self.basis, self.title or self.source, self.as_of and f"as of {self.as_of}")
        return f"{self.usd_per_hour:.4g} USD/h ({', '.join(filter(None, said))})"


def list_prices(device: Device) -> tuple[ListPrice, ...]:
    """All prices known of a device, the cheapest first.

    >>> from topologies import device
    >>> [(price.source, price.basis) for price in list_prices(device("l40s"))]
    [('crusoe', 'on-demand'), ('nebius', 'on-demand'), ('coreweave', 'on-demand')]
    """
    known = _sources()
    found = (
        ListPrice(usd, source, **known[source]) if source in known else ListPrice(usd, source)
        for source, usd in device.prices.items()
    )
    return tuple(sorted(found, key=lambda price: (price.usd_per_hour, price.source)))


def list_price(device: Device, basis: str) -> ListPrice:
    """The cheapest price of a device on the given terms (``on-demand``, ``reserved-3y``), or that of ``source:NAME``.

    >>> from topologies import device
    >>> list_price(device("h100"), "on-demand").usd_per_hour, list_price(device("h100"), "source:lambda").usd_per_hour
    (2.95, 3.99)

    Raises
    ------
    BadInput: no such price is known; names those that are.
    """
    known = list_prices(device)
    asked = basis.removeprefix(SOURCE) if basis.startswith(SOURCE) else None
    fitting = [price for price in known if (price.source == asked if asked else price.basis == basis)]
    if fitting:
        return fitting[0]
    own = f"prices: {{{device.name}: 2.50}}"
    if not known:
        raise BadInput(f"no price is known for device {device.name!r}; give one, for example {own}")
    word = f"price of {basis}" if asked else f"{basis} price"
    choices: dict[str, float] = {}
    for price in known:
        choices.setdefault(price.basis if price.basis in COMPARABLE else f"{SOURCE}{price.source}", price.usd_per_hour)
    nearest = next((choice for choice in choices if choice in COMPARABLE), next(iter(choices)))
    told = ", ".join(f"{choice} {usd:.4g} USD/h" for choice, usd in choices.items())
    raise BadInput(
        f"no {word} is known for device {device.name!r}; known: {told}; write price_basis: {nearest}, or a price of your "
        f"own, for example {own}"
    )


def checked_basis(text: str) -> str:
    """A price basis as a scenario names it.

    Raises
    ------
    UnknownName: neither terms that can be compared nor a source of the catalog.
    """
    if text not in COMPARABLE and text.removeprefix(SOURCE) not in _sources():
        raise UnknownName("price basis", text[:80], [*COMPARABLE, *(f"{SOURCE}{name}" for name in _sources())])
    return text


@functools.cache
def _sources() -> Mapping[str, dict[str, Any]]:
    """Title, day and basis of each source of prices."""
    catalog = json.loads(resources.files(__package__).joinpath("catalog/devices.json").read_text("utf-8"))
    return {key: entry for key, entry in catalog["sources"].items() if "basis" in entry}
