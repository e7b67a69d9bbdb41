"""Rules about what failures leave, each alone."""

from __future__ import annotations

from alone import cuts_off, tiny_column, tiny_market

from solver.optimize.layout import rules


def asked(v: dict[str, int]) -> int:
    """Requests/s that unified pools are asked for: two, or none where prefill and decode pools serve them."""
    return 0 if v["disaggregated.0"] else 2


def test_survive_domains() -> None:
    """A domain may touch two replicas; whichever of three fails, two requests/s are still served."""
    market = tiny_market(3, 4, survive_domains=1, requests_per_s=2.0, modes=(True, False))
    columns = [tiny_column(market, high=6, rate=1.0, touched=2)]

    def survives(v: dict[str, int]) -> bool:
        held, domains = v["fragments.0.0"], v["domains.0"]
        if held > 2 * domains:
            return False
        left = v["replicas.0"] - (2 if v["used.0"] else 0)
        return left >= asked(v)

    cuts_off(rules.survive_domains, market, columns, survives)


def test_survive_two_domains() -> None:
    market = tiny_market(3, 4, survive_domains=2, requests_per_s=2.0, modes=(True, False))
    columns = [tiny_column(market, high=6, rate=1.0, touched=1)]
    cuts_off(
        rules.survive_domains,
        market,
        columns,
        lambda v: v["fragments.0.0"] <= v["domains.0"] and v["replicas.0"] - 2 * v["used.0"] >= asked(v),
    )


def test_survive_hosts() -> None:
    """A host of four devices takes two replicas of two devices, or one of three, with it."""
    market = tiny_market(3, 4, survive_hosts=1, requests_per_s=2.0, modes=(True, False))
    columns = [tiny_column(market, size=2, high=5, rate=1.0), tiny_column(market, size=3, high=3, rate=1.5)]

    def survives(v: dict[str, int]) -> bool:
        left = v["replicas.0"] - 2 * v["used.0"] + 1.5 * (v["replicas.1"] - v["used.1"])
        return left >= asked(v)

    cuts_off(rules.survive_hosts, market, columns, survives)
