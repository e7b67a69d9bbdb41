"""Rules about who is served and in which mode, each alone."""

from __future__ import annotations

import pytest
from alone import Values, cuts_off, tiny_column, tiny_market

from solver.optimize.layout import rules
from solver.optimize.layout.program import LEVELS
from solver.space.handover import Connection


def test_modes() -> None:
    market = tiny_market()
    columns = [tiny_column(market, role) for role in ("unified", "prefill", "decode")]
    cuts_off(
        rules.modes,
        market,
        columns,
        lambda v: not v["used.0"] if v["disaggregated.0"] else not (v["used.1"] or v["used.2"]),
    )


@pytest.mark.parametrize(("unified", "disaggregated"), [(True, False), (False, True)])
def test_modes_that_are_not_allowed(unified: bool, disaggregated: bool) -> None:
    market = tiny_market(modes=(unified, disaggregated))
    about = cuts_off(rules.modes, market, [], lambda v: bool(v["disaggregated.0"]) == disaggregated)
    assert about == {"disaggregated.0"}


def test_levels_of_modes() -> None:
    market = tiny_market(objective="throughput")
    columns = [tiny_column(market)]
    cuts_off(
        rules.levels_of_modes,
        market,
        columns,
        lambda v: (
            (v["level.unified.0"], v["level.disaggregated.0"])
            == ((0, v["level"]) if v["disaggregated.0"] else (v["level"], 0))
        ),
        tried={"level": (0, 1, 5, LEVELS)},
    )


def test_handover() -> None:
    """Two connections; each prefill and decode replica is of a class that only some of them join."""
    connections = (
        Connection("one", prefill=frozenset({0}), decode=frozenset({0, 1})),
        Connection("other", prefill=frozenset({0, 1}), decode=frozenset({1})),
    )
    market = tiny_market(connections=connections)
    columns = [tiny_column(market, role, handover=number) for role in ("prefill", "decode") for number in (0, 1)]

    def connected(v: dict[str, int]) -> bool:
        chosen = [c for n, c in enumerate(connections) if v[f"connected.0.{n}"]]
        if len(chosen) != v["disaggregated.0"]:
            return False
        return all(
            not v[f"used.{n}"] or any(c.candidate.handover in one.classes(c.role) for one in chosen)
            for n, c in enumerate(columns)
        )

    cuts_off(rules.handover, market, columns, connected)


def test_splits() -> None:
    market = tiny_market()
    columns = [
        tiny_column(market, "prefill", split=0),
        tiny_column(market, "prefill", split=1),
        tiny_column(market, "decode", split=1),
        tiny_column(market, "decode", split=2),
        tiny_column(market, "unified", split=3),
    ]
    about = cuts_off(
        rules.splits,
        market,
        columns,
        lambda v: len({c.split for n, c in enumerate(columns[:4]) if v[f"used.{n}"]}) <= 1,
    )
    assert about == {"used.0", "used.1", "used.2", "used.3"}


def test_demand() -> None:
    """Three requests/s of one promise, served unified or by prefill and decode pools that each serve all."""
    market = tiny_market(requests_per_s=3.0)
    columns = [
        tiny_column(market, "unified", rate=1.0, high=4),
        tiny_column(market, "prefill", rate=2.0),
        tiny_column(market, "decode", rate=1.5, high=3),
    ]

    def serves(v: dict[str, int]) -> bool:
        together, prefill, decode = (v[f"replicas.{n}"] * c.rate for n, c in enumerate(columns))
        return min(prefill, decode) >= 3 if v["disaggregated.0"] else together >= 3

    cuts_off(rules.demand, market, columns, serves)


def test_demand_as_a_multiple_of_the_mix() -> None:
    """Every step of the level is an equal part of the largest multiple: two replicas of 3 requests/s, asked for 1.5."""
    market = tiny_market(1, 2, objective="throughput", requests_per_s=1.5, modes=(True, False))
    columns = [tiny_column(market, rate=3.0, high=2)]
    steps = (0, LEVELS // 2 - 1, LEVELS // 2, LEVELS // 2 + 1, LEVELS)
    about = cuts_off(
        rules.demand,
        market,
        columns,
        lambda v: v["replicas.0"] * 3.0 >= v["level.unified.0"] / LEVELS * 6.0 and v["level.disaggregated.0"] == 0,
        tried={"level": steps},
    )
    assert about == {"replicas.0", "level.unified.0", "level.disaggregated.0"}


@pytest.mark.parametrize(("pools", "least"), [(1, 3), (2, 2)])
def test_least_rent(pools: int, least: int) -> None:
    """Two requests/s: by three replicas of one pool, or by one replica of each of two pools, for 2 USD each."""
    market = tiny_market(requests_per_s=2.0, modes=(True, False), max_pools=pools)
    columns = [tiny_column(market, rate=0.7, high=3), tiny_column(market, rate=1.3, high=1)]

    def dear_enough(v: Values) -> bool:
        return bool(v["disaggregated.0"]) or v["replicas.0"] + v["replicas.1"] >= least

    cuts_off(rules.least_rent, market, columns, dear_enough)
