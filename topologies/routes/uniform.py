"""Every source sends the same to every sink but itself: counted, not listed pair by pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from topologies.routes.ecmp import Floats
from topologies.routes.links import Link
from topologies.routes.places import Places
from topologies.routes.scale_out import Bundle


def far_bundles(
    here: Sequence[str], there: Sequence[str], places: Places, layout: Mapping[str, int], rate: float
) -> Iterator[Bundle]:
    """The devices here, bundled by what each exchanges with those there that share neither its domain nor its host.

    Parameters
    ----------
    layout: of every device here and there, numbered from zero.
    rate: bytes/s of each pair.
    """
    width = max(layout.values()) + 1

    def count(names: Sequence[str]) -> Floats:
        numbers = np.array([layout[name] for name in names], dtype=np.int64)
        return np.bincount(numbers, minlength=width).astype(np.float64)

    everyone = count(there)
    in_domain = {domain: count(names) for domain, names in places.by_domain(there).items()}
    in_host = places.by_host(there)
    meeting = _domains_on(in_host, places)
    alike: dict[tuple[int, str, int], list[str]] = defaultdict(list)
    for name in here:
        host = places.host[name]
        mixed = bool(meeting.get(host, set()) - {places.domain[name]})
        alike[places.domain[name], host if mixed else "", layout[name]].append(name)
    for (domain, host, number), names in alike.items():
        far = everyone - in_domain.get(domain, 0.0)
        if host:
            far = far - count([other for other in in_host[host] if places.domain[other] != domain])
        yield Bundle(names, number, far * rate)


def host_pairs(sources: Sequence[str], sinks: Sequence[str], places: Places) -> Iterator[Link]:
    """Pairs that share a host but no domain."""
    in_host = places.by_host(sinks)
    meeting = _domains_on(in_host, places)
    for source in sources:
        host = places.host[source]
        for sink in in_host[host] if meeting.get(host, set()) - {places.domain[source]} else ():
            if not places.share_domain(source, sink):
                yield source, sink


def _domains_on(in_host: Mapping[str, Sequence[str]], places: Places) -> dict[str, set[int]]:
    """Domains of the devices on each host: one, nearly everywhere, so that no pair there need be looked at."""
    return {host: {places.domain[name] for name in names} for host, names in in_host.items()}
