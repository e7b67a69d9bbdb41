"""Prices of the catalog: each with its terms; asked for on one basis, which is never mixed with another."""

from __future__ import annotations

import pytest

from topologies import Device, devices, list_price, list_prices
from topologies.errors import BadInput, UnknownName
from topologies.prices import COMPARABLE, checked_basis


@pytest.mark.parametrize("basis", COMPARABLE)
def test_terms_take_the_cheapest_price_of_their_own_kind(basis):
    priced = 0
    for one in devices().values():
        fitting = [price.usd_per_hour for price in list_prices(one) if price.basis == basis]
        if fitting:
            assert list_price(one, basis).usd_per_hour == min(fitting)
            priced += 1
        else:
            with pytest.raises(BadInput, match=f"{one.name}: 2.50"):
                list_price(one, basis)
    assert priced >= 9


def test_a_price_that_is_missing_names_those_that_are_known():
    with pytest.raises(BadInput, match=r"no on-demand price is known for device 'gb300'.*reserved-3y 3.96 USD/h"):
        list_price(devices()["gb300"], "on-demand")
    with pytest.raises(BadInput, match=r"no price of source:lambda is known for device 'l40s'; known: on-demand 1 USD/h"):
        list_price(devices()["l40s"], "source:lambda")


def test_a_basis_is_terms_or_a_source():
    assert checked_basis("source:lambda") == "source:lambda"
    with pytest.raises(UnknownName, match="nearest: source:lambda"):
        checked_basis("source:lamda")
    with pytest.raises(UnknownName, match=r"nearest: .*on-demand"):
        checked_basis("ondemand")


def test_a_price_of_a_source_that_the_catalog_lacks_has_no_terms():
    mine = Device.parse({"name": "mine", "like": "h100", "prices": {"our contract": 1.1, "nebius": 3.0}})
    assert [(price.source, price.basis) for price in list_prices(mine)] == [("our contract", None), ("nebius", "on-demand")]
    assert list_price(mine, "on-demand").usd_per_hour == 3.0
