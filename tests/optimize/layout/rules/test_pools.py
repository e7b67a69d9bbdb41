"""Rules about which pools there may be, each alone."""

from __future__ import annotations

import dataclasses

from alone import cuts_off, tiny_column, tiny_market

from solver.optimize.layout import rules


def test_bands() -> None:
    market = tiny_market()
    columns = [dataclasses.replace(tiny_column(market, high=4), low=2, high=3)]
    about = cuts_off(
        rules.bands, market, columns, lambda v: v["replicas.0"] in (2, 3) if v["used.0"] else v["replicas.0"] == 0
    )
    assert about == {"used.0", "replicas.0"}


def test_one_column() -> None:
    market = tiny_market()
    twins = [tiny_column(market, high=1), tiny_column(market, high=2, rate=0.9)]
    others = [tiny_column(market, size=2), tiny_column(market, "decode"), tiny_column(market, split=1)]
    about = cuts_off(rules.one_column, market, [*twins, *others], lambda v: not (v["used.0"] and v["used.1"]))
    assert about == {"used.0", "used.1"}


def test_pools() -> None:
    market = tiny_market(max_pools=2)
    columns = [tiny_column(market, size=size) for size in (1, 2, 3)] + [tiny_column(market, "decode")]
    about = cuts_off(rules.pools, market, columns, lambda v: sum(v.values()) <= 2)
    assert about == {"used.0", "used.1", "used.2"}


def test_pins() -> None:
    market = tiny_market(pins=(2, None))
    settled = [tiny_column(market, high=3, pin=0), tiny_column(market, size=2, high=3, pin=0)]
    columns = [*settled, tiny_column(market, "decode", pin=1), tiny_column(market, size=3)]
    about = cuts_off(
        rules.pins,
        market,
        columns,
        lambda v: bool(
            (v["used.0"] or v["used.1"]) and v["replicas.0"] + v["replicas.1"] == 2 and v["used.2"],
        ),
    )
    assert about == {"used.0", "used.1", "replicas.0", "replicas.1", "used.2"}
