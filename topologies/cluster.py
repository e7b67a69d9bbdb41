"""The cluster graph: what it may hold, and the check that every graph passes before it is used.

An undirected :class:`networkx.Graph`; attributes as in :mod:`topologies.schema`. ``graph.graph["devices"]`` may define
devices of its own by name, as :meth:`topologies.hardware.Device.parse` reads them. Everything else is derived: domains
from the scale-up links, host memory and flash from hosts and storage, oversubscription from the links of switches.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import networkx as nx

from topologies.components import scale_up_components
from topologies.errors import BadCluster, BadInput, nearest
from topologies.hardware import Device, devices
from topologies.reach import check_reach
from topologies.schema import (
    FABRICS,
    JOINS,
    KINDS,
    LATENCY_S,
    LINK_ATTRIBUTES,
    MAX_DEVICES,
    MOST_AMOUNT,
    VERTEX_ATTRIBUTES,
    Attribute,
)
from topologies.views import kinds


def validate(graph: nx.Graph[str]) -> nx.Graph[str]:
    """Check a cluster and return a copy with every default filled in; the argument is left as it is.

    >>> import topologies
    >>> topologies.validate(topologies.hgx(2)).number_of_nodes() > 16
    True

    Raises
    ------
    BadCluster: the vertex or link, what is wrong with it, and the limit.
    """
    _check_shape(graph)
    checked: nx.Graph[str] = nx.Graph()
    known = devices_of(graph)
    checked.graph.update(graph.graph)
    for vertex, data in graph.nodes(data=True):
        checked.add_node(vertex, **_vertex(vertex, data, known))
    for a, b, data in graph.edges(data=True):
        checked.add_edge(a, b, **_link(checked, a, b, data))
    _check_hosts(checked)
    _fill_derived(checked, known)
    check_reach(checked)
    return checked


def devices_of(graph: nx.Graph[str]) -> Mapping[str, Device]:
    """Devices that the graph may name: its own definitions, then the catalog."""
    own = graph.graph.get("devices") or {}
    if not isinstance(own, Mapping):
        raise BadCluster("`devices` of the graph must map names to device definitions")
    return devices() | {name: _own_device(name, given) for name, given in own.items()} if own else devices()


def _own_device(name: str, given: Device | Mapping[str, Any]) -> Device:
    if isinstance(given, Device):
        return given
    try:
        return Device.parse({"name": name, **given} if isinstance(given, Mapping) else given)
    except BadInput as error:
        raise BadCluster(f"`devices` of the graph: {error}") from error


def _check_shape(graph: nx.Graph[str]) -> None:
    if not isinstance(graph, nx.Graph):
        raise BadCluster(f"a cluster is a networkx.Graph, not {type(graph).__name__}; builders and load() return one")
    if graph.is_directed() or graph.is_multigraph():
        raise BadCluster(
            f"a cluster is an undirected simple networkx.Graph, not {type(graph).__name__}; links are duplex"
        )
    if not len(graph):
        raise BadCluster("the cluster has no vertices; a builder such as topologies.hgx(nodes=2) returns a full one")
    count = sum(data.get("kind") == "device" for _, data in graph.nodes(data=True))
    if not count:
        raise BadCluster(f"the cluster has no device among its {len(graph)} vertices; one is the least")
    if count > MAX_DEVICES:
        raise BadCluster(f"the cluster has {count:,} devices; {MAX_DEVICES:,} is the most")


def _vertex(vertex: str, data: Mapping[str, Any], known: Mapping[str, Device]) -> dict[str, Any]:
    if not isinstance(vertex, str) or not vertex:
        raise BadCluster(f"vertex {vertex!r} must be named by a string that is not empty")
    where = f"vertex {vertex!r}"
    kind = _choice(data.get("kind", ...), f"{where}: kind", KINDS)
    values = _attributes(where, kind, data, VERTEX_ATTRIBUTES)
    if kind == "device" and values["device"] not in known:
        raise BadCluster(f"{where}: unknown device {values['device']!r}; nearest: {_near(values['device'], known)}")
    return values


def _link(graph: nx.Graph[str], a: str, b: str, data: Mapping[str, Any]) -> dict[str, Any]:
    where = f"link {a!r} - {b!r}"
    if a == b:
        raise BadCluster(f"{where} joins a vertex to itself")
    fabric = _choice(data.get("fabric", ...), f"{where}: fabric", FABRICS)
    ends = frozenset({graph.nodes[a]["kind"], graph.nodes[b]["kind"]})
    if ends not in JOINS[fabric]:
        allowed = "; ".join(sorted(" - ".join(sorted(pair) * (3 - len(pair))) for pair in JOINS[fabric]))
        raise BadCluster(f"{where}: {fabric} cannot join {' and '.join(sorted(ends))}; it joins {allowed}")
    values = _attributes(where, fabric, data, LINK_ATTRIBUTES)
    if values["latency_s"] is None:
        values["latency_s"] = LATENCY_S[fabric]
    if values["bandwidth_bytes_per_s"] < 1:
        given = values["bandwidth_bytes_per_s"]
        raise BadCluster(f"{where}: bandwidth_bytes_per_s is {given:g}; leave the link out, or give what it carries")
    return values


def _attributes(where: str, owner: str, data: Mapping[str, Any], table: Mapping[str, Attribute]) -> dict[str, Any]:
    values = {}
    for key, value in data.items():
        if key in table:
            continue
        close = nearest(str(key), table, 1)[0]
        if _alike(str(key), close):
            raise BadCluster(f"{where}: unknown attribute {key!r}; did you mean {close!r}?")
        values[key] = value
    for key, attribute in table.items():
        if owner in attribute.owners:
            values[key] = _value(data.get(key), f"{where}: {key}", attribute)
    return values


def _value(value: Any, what: str, attribute: Attribute) -> Any:
    if value is None:
        if attribute.default is ...:
            raise BadCluster(f"{what} is missing: {attribute.meaning}")
        return attribute.default
    if attribute.type == "name" and not isinstance(value, str):
        raise BadCluster(f"{what} is {value!r:.60}; it must be a string: {attribute.meaning}")
    if attribute.type == "flag" and not isinstance(value, bool):
        raise BadCluster(f"{what} is {value!r:.60}; it must be true or false")
    if attribute.type == "count list":
        if not isinstance(value, list | tuple) or not all(type(n) is int and 0 <= n < MAX_DEVICES for n in value):
            raise BadCluster(f"{what} is {value!r:.60}; it must be a list of whole numbers")
        return tuple(value)
    return _amount(value, what, attribute.unit) if attribute.type == "amount" else value


def _amount(value: Any, what: str, unit: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, numbers.Real) else float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number <= MOST_AMOUNT:
        raise BadCluster(
            f"{what} is {value!r:.60}; it must be a finite number of {unit}, at least 0 and at most {MOST_AMOUNT:g}"
        )
    return number


def _choice(value: Any, what: str, known: tuple[str, ...]) -> Any:
    if value is ... or value is None:
        raise BadCluster(f"{what} is missing; it is one of {', '.join(known)}")
    if value not in known:
        raise BadCluster(f"{what} is {value!r:.60}; it must be one of {', '.join(known)}")
    return value


def _check_hosts(graph: nx.Graph[str]) -> None:
    """Each device hangs on the host that it names, and each store on one host or on switches."""
    healthy = 0
    for vertex, data in graph.nodes(data=True):
        if data["kind"] == "device":
            healthy += data["healthy"]
            _check_device_host(graph, vertex, data["host"])
        elif data["kind"] == "storage":
            hosts = [other for other in graph[vertex] if graph.nodes[other]["kind"] == "host"]
            if not len(graph[vertex]) or (hosts and len(graph[vertex]) > 1):
                raise BadCluster(
                    f"storage {vertex!r} has {len(graph[vertex])} links; it hangs on one host or on switches"
                )
    if not healthy:
        raise BadCluster("the cluster has no healthy device; one is the least")


def _check_device_host(graph: nx.Graph[str], vertex: str, host: str) -> None:
    linked = [other for other in graph[vertex] if graph.nodes[other]["kind"] == "host"]
    if host not in graph or graph.nodes[host]["kind"] != "host":
        hosts = [other for other, kind in kinds(graph).items() if kind == "host"]
        raise BadCluster(f"device {vertex!r}: host {host!r} is no host vertex; nearest: {_near(host, hosts) or 'none'}")
    if linked != [host]:
        found = ", ".join(repr(other) for other in linked) or "none"
        raise BadCluster(
            f"device {vertex!r} needs one pcie or c2c link, to its host {host!r}; it has links to: {found}"
        )


def _fill_derived(graph: nx.Graph[str], known: Mapping[str, Device]) -> None:
    """Fill the labels and sizes that follow from the rest of the graph."""
    dram: dict[str, float] = {}
    for _, data in graph.nodes(data=True):
        if data["kind"] == "device":
            dram[data["host"]] = dram.get(data["host"], 0.0) + known[data["device"]].host_dram_bytes
            data["rack"] = data["rack"] or graph.nodes[data["host"]]["rack"]
            if data["coordinates"] is None:
                del data["coordinates"]
    for vertex, data in graph.nodes(data=True):
        if data["kind"] == "host" and data["dram_bytes"] is None:
            data["dram_bytes"] = dram.get(vertex, 0.0)
    if any(data["domain"] is None for _, data in graph.nodes(data=True) if data["kind"] == "device"):
        for component in scale_up_components(graph, healthy_only=False):
            label = min(component.switches or component.devices[:1])
            for vertex in component.devices:
                graph.nodes[vertex]["domain"] = graph.nodes[vertex]["domain"] or label


def _near(name: str, known: Any) -> str:
    return ", ".join(nearest(str(name)[:100], known))


def _alike(given: str, known: str) -> bool:
    """Whether a name looks like a slip of another: the same letters but for one or two."""
    a, b = sorted(given.lower().replace("-", "_")), sorted(known)
    rest = list(b)
    for letter in a:
        if letter in rest:
            rest.remove(letter)
    return abs(len(a) - len(b)) <= 2 and len(rest) <= 2 and len(b) > 4
