"""Rules about where idle KV waits, each alone."""

from __future__ import annotations

import pytest
from alone import cuts_off, tiny_column, tiny_market

from solver.cost.network.tier_rooms import TierRoom
from solver.optimize.layout import rules
from solver.optimize.layout.kv_tiers import Keeping, Place, Split
from solver.optimize.layout.kv_tiers.places import BUDGET
from solver.optimize.layout.program import LEVELS
from solver.workload.kv_tiers import DRAM, REMOTE


def split(tier: str = "dram", held: float = 0.0, hits: float = 0.0, moved: float = 0.0) -> Split:
    """One way to divide a class's waiting time: what it keeps in one tier."""
    return Split({}, {tier: held}, {tier: hits}, {tier: moved})  # type: ignore[dict-item]


def keeping(*ways: Split) -> Keeping:
    """A way to keep the idle KV of one class on the prefill side."""
    return Keeping(0, "prefill", (), (), (), False, 0, (ways,))


def host_memory(capacity: float, rate: float = 1000.0) -> Place:
    """So many bytes of DRAM for each device."""
    return Place(DRAM, (TierRoom(capacity, rate),), ("h200",), 0.0)


def test_keeping() -> None:
    """Two ways to keep; the first has two divisions of the waiting time."""
    market = tiny_market(keepings=(keeping(split(), split()), keeping(split())))
    columns = [
        tiny_column(market, "prefill", keeping=0),
        tiny_column(market, "prefill", size=2, keeping=0),
        tiny_column(market, "prefill", keeping=1),
        tiny_column(market, "prefill"),
        tiny_column(market, "decode"),
    ]

    def kept_in_one_way(v: dict[str, int]) -> bool:
        ways = [v["keep.0"], v["keep.1"]]
        pools = [v["used.0"] + v["used.1"], v["used.2"]]
        divided = v["split.0.0.0"] + v["split.0.0.1"] == v["keep.0"]
        return sum(ways) <= 1 and pools == ways and divided and not (any(ways) and v["used.3"])

    about = cuts_off(rules.keeping, market, columns, kept_in_one_way)
    assert "used.4" not in about


def test_loads() -> None:
    """A pool that computes a history sooner than DRAM gives it back goes with the division that has no hits there."""
    market = tiny_market(keepings=(keeping(split(hits=0.0), split(hits=2.0)),))
    columns = [
        tiny_column(market, "prefill", keeping=0, slow=frozenset({(0, "dram")})),
        tiny_column(market, "prefill", size=2, keeping=0),
    ]
    about = cuts_off(rules.loads, market, columns, lambda v: not (v["used.0"] and v["split.0.0.1"]))
    assert about == {"used.0", "split.0.0.1"}


def test_served_with() -> None:
    """What each division serves lies at zero where it is not chosen, and together they serve what is served."""
    market = tiny_market(
        objective="throughput", keepings=(keeping(split(), split()),), places=(host_memory(10.0),), modes=(False, True)
    )
    columns = [tiny_column(market, "prefill", keeping=0)]

    def adds_up(v: dict[str, int]) -> bool:
        steps = [v["steps.0.0.0"], v["steps.0.0.1"]]
        if any(step and not v[f"split.0.0.{n}"] for n, step in enumerate(steps)):
            return False
        return not v["keep.0"] or sum(steps) >= v["level.disaggregated.0"]

    cuts_off(
        rules.served_with,
        market,
        columns,
        adds_up,
        tried={"level": (0, 3, LEVELS), "steps": (0, 2, 3, LEVELS)},
        own=("steps",),
    )


@pytest.mark.parametrize("what", ["bytes", "bytes_per_s"])
def test_room(what: str) -> None:
    """Every replica of two devices brings twice what a device has; the second division needs two of them."""
    if what == "bytes":
        ways, place = (split(held=20.0), split(held=21.0)), host_memory(10.0)
    else:
        ways, place = (split(moved=20.0), split(moved=21.0)), host_memory(1e9, 10.0 / BUDGET)
    market = tiny_market(1, 4, keepings=(keeping(*ways),), places=(place,))
    columns = [tiny_column(market, "prefill", size=2, keeping=0)]

    def fits(v: dict[str, int]) -> bool:
        waiting = 20.0 * v["split.0.0.0"] + 21.0 * v["split.0.0.1"]
        return waiting <= 20.0 * v["fragments.0.0"]

    about = cuts_off(rules.room, market, columns, fits)
    assert about == {"fragments.0.0", "split.0.0.0", "split.0.0.1"}


def test_room_that_all_share() -> None:
    """A store on the fabric: what both sides leave there fits into it together."""
    store = Place(REMOTE, (TierRoom(float("inf"), 1e9),), ("h200",), 0.0, shared=TierRoom(30.0, 1e9))
    ways = keeping(split("remote", held=10.0), split("remote", held=25.0)), keeping(split("remote", held=20.0))
    market = tiny_market(keepings=ways, places=(store,))
    columns = [tiny_column(market, "prefill", keeping=0), tiny_column(market, "prefill", keeping=1)]
    cuts_off(
        rules.room,
        market,
        columns,
        lambda v: 10.0 * v["split.0.0.0"] + 25.0 * v["split.0.0.1"] + 20.0 * v["keep.1"] <= 30.0,
    )


def test_room_at_what_is_served() -> None:
    """Objective throughput: bytes that wait grow with the steps that each division serves."""
    market = tiny_market(
        1,
        4,
        objective="throughput",
        requests_per_s=1.0,
        modes=(False, True),
        keepings=(keeping(split(held=10.0), split(held=20.0)),),
        places=(host_memory(10.0),),
    )
    columns = [tiny_column(market, "prefill", keeping=0, high=2, rate=1.0)]

    def fits(v: dict[str, int]) -> bool:
        most = 4.0  # four devices of a request/s each
        waiting = (10.0 * v["steps.0.0.0"] + 20.0 * v["steps.0.0.1"]) * most / LEVELS
        return waiting <= 10.0 * v["fragments.0.0"]

    steps = (0, LEVELS // 8, LEVELS // 8 + 1, LEVELS // 4, LEVELS // 2, LEVELS)
    cuts_off(rules.room, market, columns, fits, after=[rules.served_with], tried={"steps": steps})
