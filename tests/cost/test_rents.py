"""What an hour costs under a scenario: one basis for every price of the catalog, and prices of one's own before all."""

from __future__ import annotations

from typing import Any

import pytest

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.workload import Scenario
from solver.workload.files import packaged, read_content
from topologies import list_prices

MIXED: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {
        "join": [{"builder": "fat_tree", "nodes": 1, "device": "l40s"}, {"builder": "hgx", "nodes": 1, "device": "h100"}]
    },
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1500, "output_tokens": 300, "requests_per_s": 5}]},
}


def instance(**fields: Any) -> Instance:
    return Instance.of(Scenario.from_mapping(MIXED | fields, "test"))


def bases(found: Instance) -> set[str | None]:
    """Terms of the catalog's prices that a scenario's rents are."""
    listed = {fleet.device.name: list_prices(fleet.device) for fleet in found.fleets}
    return {price.basis for name in listed for price in listed[name] if price.title in found.rent(name).origin}


def test_unlike_devices_are_compared_on_one_basis():
    assert bases(instance()) == {"on-demand"}
    assert instance().usd_per_hour("h100") == 2.95
    assert instance(price_basis="source:crusoe").usd_per_hour("h100") == 3.9
    with pytest.raises(BadInput, match="no reserved-3y price is known for device 'l40s'"):
        instance(price_basis="reserved-3y").usd_per_hour("l40s")


def test_a_price_of_ones_own_comes_first():
    own = instance(prices={"l40s": 0.7})
    assert (own.usd_per_hour("l40s"), own.rent("l40s").origin) == (0.7, "given under prices")
    described = {"builder": "hgx", "nodes": 1, "device": {"name": "mine", "like": "h100", "usd_per_hour": 9.0}}
    assert instance(cluster=described).usd_per_hour("mine") == 9.0


@pytest.mark.parametrize("name", packaged())
def test_packaged_scenarios_have_a_price_for_every_device(name):
    found = Instance.of(Scenario.from_mapping(read_content(name)[0], name))
    assert all(found.usd_per_hour(fleet.device.name) > 0 for fleet in found.fleets)
