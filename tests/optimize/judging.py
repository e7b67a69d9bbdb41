"""What a mapping of a tiny market costs, and which of two is better."""

from __future__ import annotations

import zlib

from solver.optimize.layout.mapping import Mapping
from solver.optimize.layout.program import Market
from solver.optimize.layout.realise import Judge


def rent(market: Market, mapping: Mapping) -> float:
    """What the hosts, domains or devices of a mapping cost."""
    owner = {d: (s, i) for s in market.supplies for i, dom in enumerate(s.domain_class.domains) for d in dom.devices}
    host = {
        d: (s.index, i, h)
        for s in market.supplies
        for i, dom in enumerate(s.domain_class.domains)
        for h, devices in enumerate(dom.hosts)
        for d in devices
    }
    used = [d for pool in mapping.devices for replica in pool for d in replica]
    assert len(set(used)) == len(used)
    if market.owned:
        return 0.0
    if market.billing == "device":
        return sum(owner[d][0].usd_per_device_hour for d in used)
    if market.billing == "domain":
        rented = {(owner[d][0].index, owner[d][1]): owner[d][0] for d in used}
        return sum(
            sum(h.neighbours for h in s.domain_class.profile.hosts) * s.usd_per_device_hour for s in rented.values()
        )
    hosts = {host[d]: owner[d][0] for d in used}
    return sum(s.rented_host * s.usd_per_device_hour for s in hosts.values())


def judge(market: Market) -> Judge:
    """Rent decides; of equals the placement with the least name, so that every kind of placement is taken at times."""
    return Judge(
        lambda mapping: rent(market, mapping),
        lambda _, mapping: (float(zlib.crc32(repr(mapping).encode())), 0.0),
    )
