"""What failures leave, alone; layouts that survive are compared with every other in ``test_survival.py`` of the search."""

from __future__ import annotations

import dataclasses

from alone import cuts_off, tiny_column, tiny_market

from solver.optimize.layout import rules
from solver.optimize.layout.failing import exposing, failures
from solver.optimize.layout.rules.service import LOOSE
from solver.optimize.layout.rules.survival import STEPS


def test_survive() -> None:
    """One replica must be left when either of two domains of two devices is lost."""
    market = tiny_market(2, 2, requests_per_s=0.9, modes=(True, True))
    market = dataclasses.replace(market, failures=tuple(failures(market.supplies, 1, 0)))
    columns = [tiny_column(market, high=4, rate=1.0)]

    def survives(v: dict[str, int]) -> bool:
        placed, used = v["fragments.0.0"], v["domains.0"]
        held = [
            (a, placed - a)
            for a in range(3)
            if 0 <= placed - a <= 2 and (a > 0) + (placed > a) <= min(used, v["hosts.0"])
        ]
        if used < 2 or not held:
            return False
        apart = v["disaggregated.0"] * 0.9 * LOOSE
        lost = v["used.0"] * max(1, min(map(max, held)))
        return v["replicas.0"] - lost + apart > 0.99 * 0.9 and v["replicas.0"] / 2 + apart >= 0.9

    cuts_off(
        rules.survive, exposing(market, columns), columns, survives, tried={"lost": [0, STEPS // 2, STEPS], "any": [0, 1]}
    )
