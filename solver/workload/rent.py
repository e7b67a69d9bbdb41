"""What an hour of a device costs under a scenario, and why that price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from solver.errors import UnknownName
from topologies import Device, list_price
from topologies.prices import checked_basis


def _basis(text: str) -> str:
    try:
        return checked_basis(text)
    except UnknownName as error:
        raise ValueError(str(error)) from None


#: ``on-demand``, ``reserved-3y`` or ``source:NAME``: the terms of every price that a scenario does not give itself.
PriceBasis = Annotated[str, AfterValidator(_basis)]


@dataclass(frozen=True)
class Rent:
    """The price of one device for an hour [USD/h], and where it comes from."""

    usd_per_hour: float
    origin: str


def rent(device: Device, prices: Mapping[str, float], basis: str) -> Rent:
    """The scenario's own price of a device, else the device's own, else the catalog's on the scenario's terms.

    Raises
    ------
    BadInput: none of them is known; names the prices that are.
    """
    if device.name in prices:
        return Rent(prices[device.name], "given under prices")
    if device.usd_per_hour is not None:
        return Rent(device.usd_per_hour, "given with the device")
    listed = list_price(device, basis)
    return Rent(listed.usd_per_hour, ", ".join(filter(None, (listed.basis, listed.title, listed.as_of))))
