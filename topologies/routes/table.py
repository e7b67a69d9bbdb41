"""Which links a pattern of traffic loads, and what the fabric gives it.

Inside a scale-up domain traffic stays on the scale-up links; inside a host it goes through the host; everything else
takes the scale-out fabric, split evenly over equal-cost shortest paths. Scale-up links never carry traffic of others
between domains.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import networkx as nx
import numpy as np

from topologies.errors import BadInput, nearest
from topologies.naming import in_order
from topologies.routes.collectives import all_reduce_time
from topologies.routes.ecmp import Floats
from topologies.routes.links import Link, Links
from topologies.routes.parts import Parts
from topologies.routes.places import Places
from topologies.routes.scale_out import ScaleOutRoutes
from topologies.routes.scale_up import ScaleUp, scale_up_routes
from topologies.routes.torus import Rings
from topologies.routes.uniform import far_bundles, host_pairs
from topologies.views import is_healthy_device, kinds


class Routes:
    """Routes of one cluster, prepared once and asked many times.

    Parameters
    ----------
    graph: a cluster from a builder or from :func:`topologies.validate`; later changes to it are not seen.
    parts: of the graph, where somebody has found them already.

    >>> import topologies
    >>> routes = Routes(topologies.hgx(nodes=4, device="h200"))
    >>> routes.all_to_all_bandwidth([f"rack0/host0/gpu{i}" for i in range(8)])
    450000000000.0
    >>> routes.path("rack0/host0/gpu1", "rack0/host3/gpu1")
    ['rack0/host0/gpu1', 'leaf1', 'rack0/host3/gpu1']
    """

    def __init__(self, graph: nx.Graph[str], parts: Parts | None = None) -> None:
        self._graph = graph
        self._kinds = kinds(graph)
        self._healthy = {vertex for vertex, data in graph.nodes(data=True) if is_healthy_device(data)}
        parts = parts or Parts.of(graph)
        self._components, exits = parts.components, parts.exits
        self.links = Links(graph)
        self.places = Places(self._components, exits.host)
        self._inside: dict[int, ScaleUp] = {}
        self._outside = ScaleOutRoutes(graph, exits, self.links.arc)

    def traffic(self) -> FlowSum:
        """Nothing yet, to which flows can be added."""
        return FlowSum(self)

    def loads(self, flows: Mapping[Link, float]) -> dict[Link, float]:
        """Directed link loads [bytes/s] of flows {(from, to): bytes/s} between devices, hosts and storage."""
        traffic = self.traffic()
        traffic.add(flows)
        return self.links.named(traffic.loads())

    def utilisation(self, loads: Mapping[Link, float]) -> dict[Link, float]:
        """Load over bandwidth of each loaded directed link."""
        return {link: load / float(self.links.bandwidth[self.links.arc(*link)]) for link, load in loads.items()}

    def scale_out(self, link: Link) -> bool:
        """Whether a link belongs to the scale-out fabric."""
        return bool(self._graph.edges[link]["fabric"] == "scale_out")

    def all_to_all_loads(self, devices: Iterable[str], bytes_per_s_each: float) -> dict[Link, float]:
        """Directed link loads [bytes/s] when each device sends that much in all, evenly to all others."""
        members = self._group(devices, least=2)
        return self.links.named(self._uniform(members, members, bytes_per_s_each / (len(members) - 1)))

    def all_to_all_bandwidth(self, devices: Iterable[str]) -> float:
        """Bytes/s that each device can send in all when every one sends evenly to all others.

        The most loaded directed link decides: the least of bandwidth / (load at 1 byte/s each).
        """
        members = self._group(devices, least=2)
        return self.links.headroom(self._uniform(members, members, 1.0 / (len(members) - 1)))

    def bisection_bandwidth(self, devices: Iterable[str]) -> float:
        """Bytes/s from one half of the devices to the other, each sending evenly to all of the other half.

        The halves are cut in the order of domains and names, so that at most one domain is cut.
        """
        members = [name for part in self.by_domain(self._group(devices, least=2)) for name in part]
        half = len(members) // 2
        pairs = half * (len(members) - half)
        return self.links.headroom(self._uniform(members[:half], members[half:], 1.0 / pairs))

    def ring_bandwidth(self, rings: Sequence[Sequence[str]]) -> float:
        """Bytes/s that each device can send to the next of its ring, all rings at once."""
        flows = Counter(step for ring in rings for step in zip(ring, [*ring[1:], *ring[:1]], strict=True))
        loads = self.loads({step: float(times) for step, times in flows.items()})
        return 1.0 / max(self.utilisation(loads).values())

    def all_reduce_time(self, devices: Iterable[str], size_bytes: float) -> float:
        """Time [s] to sum a buffer that each device holds; the algorithm is that of ``collectives``."""
        return all_reduce_time(self, self.by_domain(devices), size_bytes)

    def by_domain(self, devices: Iterable[str]) -> list[list[str]]:
        """The devices grouped by scale-up domain, groups and members in natural order."""
        return self.places.ordered_domains(self._group(devices, least=1))

    def path(self, source: str, sink: str) -> list[str]:
        """Vertices of one shortest path, both ends included; always the same one among equals."""
        self._check(source)
        self._check(sink)
        if source == sink:
            return [source]
        if self.places.share_domain(source, sink):
            return self._scale_up(self.places.domain[source]).path(source, sink)
        if self.places.share_host(source, sink):
            return self.places.through_host(source, sink)
        return self._outside.path(source, sink)

    def hops(self, source: str, sink: str) -> int:
        """Links on the way."""
        return len(self.path(source, sink)) - 1

    def latency(self, source: str, sink: str) -> float:
        """Latencies of the links of :meth:`path`, summed [s]."""
        return self.links.latency(self.path(source, sink))

    def torus_rings(self, devices: Sequence[str]) -> Rings | None:
        """Rings over devices of one domain that fill a box of a torus, or None where they do not."""
        return self._scale_up(self.places.domain[devices[0]]).rings(devices)

    def _uniform(self, sources: Sequence[str], sinks: Sequence[str], rate: float) -> Floats:
        """Loads of every source sending ``rate`` to every sink but itself."""
        traffic = self.traffic()
        traffic.each_to_each(sources, sinks, rate)
        return traffic.loads()

    def _add_in_host(self, loads: Floats, source: str, sink: str, rate: float) -> None:
        path = self.places.through_host(source, sink)
        for a, b in itertools.pairwise(path):
            loads[self.links.arc(a, b)] += rate

    def _scale_up(self, domain: int) -> ScaleUp:
        if domain not in self._inside:
            self._inside[domain] = scale_up_routes(self._graph, self._components[domain], self.links.arc)
        return self._inside[domain]

    def _group(self, devices: Iterable[str], least: int) -> list[str]:
        names = [devices] if isinstance(devices, str) else list(devices)
        for name in names:
            if name not in self._healthy:
                self._check(name)
                raise BadInput(f"{name!r} is a {self._kinds[name]}, not a device")
        if len(set(names)) != len(names):
            raise BadInput(f"device {Counter(names).most_common(1)[0][0]!r} is given twice in one group")
        if len(names) < least:
            raise BadInput(f"the group has {len(names)} device(s); the pattern needs at least {least}")
        return in_order(names)

    def _check(self, vertex: str) -> None:
        kind = self._kinds.get(vertex)
        if kind is None:
            near = ", ".join(nearest(str(vertex)[:100], list(self._kinds)[:20_000]))
            raise BadInput(f"no vertex is named {str(vertex)[:100]!r}; nearest: {near}")
        if kind == "switch":
            raise BadInput(f"{vertex!r} is a switch; flows start and end at devices, hosts and storage")
        if kind == "device" and vertex not in self._healthy:
            raise BadInput(f"device {vertex!r} is marked unhealthy; routes use healthy devices only")


class FlowSum:
    """Flows that are added up before the links between switches are asked, once for all of them.

    Attributes
    ----------
    routes: of the cluster whose links they load.

    >>> import topologies
    >>> routes = Routes(topologies.hgx(nodes=2))
    >>> traffic = routes.traffic()
    >>> traffic.uniform(["rack0/host0/gpu0"], ["rack0/host1/gpu0"], 1e9)
    >>> traffic.add({("rack0/host0/gpu0", "rack0/host1/gpu0"): 2e9})
    >>> routes.links.named(traffic.loads())["rack0/host0/gpu0", "leaf0"]
    3000000000.0
    """

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self._loads = routes.links.nothing()
        self._between = np.zeros((0, 0))

    def add(self, flows: Mapping[Link, float]) -> None:
        """Add flows {(from, to): bytes/s} between devices, hosts and storage."""
        routes, places = self.routes, self.routes.places
        inside: dict[int, dict[Link, float]] = defaultdict(dict)
        outside: dict[Link, float] = {}
        for (source, sink), rate in flows.items():
            routes._check(source)
            routes._check(sink)
            if not 0 <= rate < math.inf:
                raise BadInput(f"the flow {source!r} -> {sink!r} is {rate} bytes/s; it must be finite and at least 0")
            if source == sink or rate == 0:
                continue
            if places.share_domain(source, sink):
                inside[places.domain[source]][source, sink] = rate
            elif places.share_host(source, sink):
                routes._add_in_host(self._loads, source, sink, rate)
            else:
                outside[source, sink] = rate
        for domain, demand in inside.items():
            routes._scale_up(domain).add(self._loads, demand)
        if outside:
            self._between = routes._outside.add(self._loads, self._between, outside)

    def uniform(
        self, senders: Iterable[str], receivers: Iterable[str], bytes_per_s_each: float, *, leaving: bool = False
    ) -> None:
        """Add that each sender sends so much in all, evenly to the receivers but itself.

        Parameters
        ----------
        leaving: count only what goes to other scale-up domains.
        """
        sources, sinks = self.routes._group(senders, least=1), self.routes._group(receivers, least=1)
        others = len(sinks) - (1 if set(sources) <= set(sinks) else 0)
        if others:
            self.each_to_each(sources, sinks, bytes_per_s_each / others, leaving=leaving)

    def each_to_each(self, sources: Sequence[str], sinks: Sequence[str], rate: float, *, leaving: bool = False) -> None:
        """Add every source sending ``rate`` [bytes/s] to every sink but itself; parameters as :meth:`uniform`."""
        routes, places = self.routes, self.routes.places
        ours, theirs = places.by_domain(sources), places.by_domain(sinks)
        for domain in ours if not leaving else ():
            if domain in theirs and len(routes._components[domain].devices) > 1:
                routes._scale_up(domain).add_uniform(self._loads, ours[domain], theirs[domain], rate)
        if len(ours.keys() | theirs.keys()) > 1:
            for a, b in host_pairs(sources, sinks, places):
                routes._add_in_host(self._loads, a, b, rate)
            layout = routes._outside.layouts_of([*sources, *sinks])
            senders = far_bundles(sources, sinks, places, layout, rate)
            receivers = far_bundles(sinks, sources, places, layout, rate)
            self._between = routes._outside.add_bundles(self._loads, self._between, senders, receivers)

    def loads(self) -> Floats:
        """Bytes/s on every directed link."""
        found = self._loads.copy()
        self.routes._outside.push(found, self._between)
        return found
