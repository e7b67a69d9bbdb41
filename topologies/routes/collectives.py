"""All-reduce over a group of devices, hierarchical, in the alpha-beta model.

Inside each domain a reduce-scatter, between the domains an all-reduce of the shards, inside each domain an all-gather.
With n devices of bandwidth W in a domain, S bytes and m domains of g devices:

- one domain on switches or a mesh: the better of one shot, alpha + (n-1) S/W, and two shots, 2 alpha + 2 (n-1)/n S/W;
- one domain that is a box of a torus: a ring in every dimension at once, the shards split over them;
- between domains, g lanes at once, each with S/g: the better of a ring, 2 (m-1) alpha + 2 (m-1)/m S/(g W), and a
  pipelined tree, 2 ceil(log2 m) alpha + 2 S/(g W), where W is what routing the rings on the fabric leaves to each lane.

Alpha is the latency of the links only; what software adds is a matter of calibration. Domains of unequal size use as
many lanes as the smallest has devices, which is pessimistic for the larger ones.
Source: Thakur, Rabenseifner and Gropp (2005); Patarasuk and Yuan (2009); the two-level form is NCCL's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from topologies.errors import BadInput
from topologies.routes.torus import Rings


class CollectiveRoutes(Protocol):
    """What a collective asks of the routes that it runs on."""

    def latency(self, source: str, sink: str, /) -> float:
        """Latency of the links between two devices [s]."""

    def torus_rings(self, devices: Sequence[str], /) -> Rings | None:
        """The rings of devices that are a box of a torus."""

    def all_to_all_bandwidth(self, devices: Sequence[str], /) -> float:
        """Bytes/s that each device can send in all when every one sends evenly to all others."""

    def ring_bandwidth(self, rings: Sequence[Sequence[str]], /) -> float:
        """Bytes/s that each device can send to the next of its ring, all rings at once."""


def all_reduce_time(routes: CollectiveRoutes, domains: Sequence[Sequence[str]], size_bytes: float) -> float:
    """Time [s] to sum a buffer of ``size_bytes`` that every device holds.

    Parameters
    ----------
    domains: the devices of the group by scale-up domain.

    >>> import topologies
    >>> routes = topologies.Routes(topologies.hgx(1, "h100"))
    >>> time_s = routes.all_reduce_time([f"rack0/host0/gpu{i}" for i in range(8)], 64e6)
    >>> round(time_s * 1e6, 1)  # 2 x 1 us + 2 x 7/8 x 64 MB / 450 GB/s
    250.9
    """
    if not 0 <= size_bytes < math.inf:
        raise BadInput(f"an all-reduce of {size_bytes} bytes: the size must be finite and at least 0")
    if size_bytes == 0 or sum(map(len, domains)) == 1:
        return 0.0
    if len(domains) == 1:
        return min(2 * _shot(routes, domains[0], size_bytes), _one_shot(routes, domains[0], size_bytes))
    inside = max(2 * _shot(routes, devices, size_bytes) for devices in domains)
    return inside + _across(routes, domains, size_bytes)


def _shot(routes: CollectiveRoutes, devices: Sequence[str], size_bytes: float) -> float:
    """A reduce-scatter or an all-gather inside one domain [s]."""
    count = len(devices)
    if count == 1:
        return 0.0
    rings = routes.torus_rings(devices)
    if rings is not None:
        return rings.steps * routes.latency(*rings.neighbours) + (count - 1) / count * size_bytes / rings.bytes_per_s
    return _alpha(routes, devices) + (count - 1) / count * size_bytes / routes.all_to_all_bandwidth(devices)


def _one_shot(routes: CollectiveRoutes, devices: Sequence[str], size_bytes: float) -> float:
    """Every device sends its whole buffer to every other [s]."""
    return _alpha(routes, devices) + (len(devices) - 1) * size_bytes / routes.all_to_all_bandwidth(devices)


def _alpha(routes: CollectiveRoutes, devices: Sequence[str]) -> float:
    return max(routes.latency(devices[0], other) for other in devices[1:])


def _across(routes: CollectiveRoutes, domains: Sequence[Sequence[str]], size_bytes: float) -> float:
    """The shards of each domain summed over the domains [s]."""
    lanes, count = min(map(len, domains)), len(domains)
    rings = [[devices[lane] for devices in domains] for lane in range(lanes)]
    alpha = max(routes.latency(a, b) for a, b in zip(rings[0], [*rings[0][1:], rings[0][0]], strict=True))
    wire = size_bytes / lanes / routes.ring_bandwidth(rings)
    ring = 2 * (count - 1) * alpha + 2 * (count - 1) / count * wire
    tree = 2 * math.ceil(math.log2(count)) * alpha + 2 * wire
    return min(ring, tree)
