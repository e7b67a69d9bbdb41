"""Routes against an independent router, closed forms against general routing, and the laws of link loads."""

from __future__ import annotations

import itertools
from collections import defaultdict

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from topologies.components import scale_up_components
from topologies.routes.links import Links
from topologies.routes.scale_up import GraphRoutes, StarRoutes, scale_up_routes

QUICK = settings(deadline=None, max_examples=60)


def devices_in(graph):
    return [v for v, data in graph.nodes(data=True) if data["kind"] == "device" and data["healthy"]]


def naive_loads(graph, flows):
    """Even splitting per hop towards one sink at a time, on the graph that a flow may use, by plain search."""
    parts = {v: i for i, part in enumerate(scale_up_components(graph)) for v in part.devices}
    loads = defaultdict(float)
    for (source, sink), rate in flows.items():
        usable = allowed(graph, parts, source, sink)
        distance = nx.single_source_shortest_path_length(usable, sink)
        here = {source: rate}
        while here and set(here) != {sink}:
            onward = defaultdict(float)
            for vertex, amount in here.items():
                ahead = [v for v in usable[vertex] if distance.get(v, 1e9) < distance[vertex]]
                for other in ahead:
                    loads[vertex, other] += amount / len(ahead)
                    onward[other] += amount / len(ahead)
            here = onward
    return dict(loads)


def allowed(graph, parts, source, sink):
    """The subgraph that the rules leave to one flow."""
    kind = dict(graph.nodes(data="kind"))
    scale_up = [(a, b) for a, b, fabric in graph.edges(data="fabric") if fabric == "scale_up"]
    if parts.get(source, -1) == parts.get(sink, -2):
        inside = {v for v, part in parts.items() if part == parts[source]}
        return nx.Graph([(a, b) for a, b in scale_up if all(v in inside or kind[v] == "switch" for v in (a, b))])
    rest = graph.copy()
    rest.remove_edges_from(scale_up)
    hosts = [host_of(graph, v) for v in (source, sink)]
    if hosts[0] is not None and hosts[0] == hosts[1]:
        return rest.subgraph({source, sink, hosts[0]})
    keep = {v for v in rest if kind[v] == "switch"} | way_out(graph, source) | way_out(graph, sink)
    return rest.subgraph(keep)


def host_of(graph, vertex):
    if graph.nodes[vertex]["kind"] == "host":
        return vertex
    return next((v for v in graph[vertex] if graph.nodes[v]["kind"] == "host"), None)


def has_nic(graph, vertex):
    fabrics = ("scale_out", "storage")
    return any(graph.nodes[v]["kind"] == "switch" and d["fabric"] in fabrics for v, d in graph[vertex].items())


def way_out(graph, vertex):
    host = host_of(graph, vertex)
    if has_nic(graph, vertex) or host is None:
        return {vertex}
    if has_nic(graph, host):
        return {vertex, host}
    beside = (v for v in graph[host] if graph.nodes[v]["kind"] == "device" and graph.nodes[v]["healthy"])
    return {vertex, host} | {v for v in beside if has_nic(graph, v)}


@st.composite
def clusters(draw):
    """Small clusters of every kind of host: NICs on devices or hosts, several NICs, islands, broken devices, stores."""
    graph = nx.Graph()
    leaves = [f"leaf{i}" for i in range(draw(st.integers(1, 4)))]
    spines = [f"spine{i}" for i in range(draw(st.integers(1, 3)))]
    for switch in (*leaves, *spines):
        graph.add_node(switch, kind="switch")
    for leaf in leaves:
        for spine in draw(st.lists(st.sampled_from(spines), min_size=1, unique=True)) + spines[:1]:
            graph.add_edge(leaf, spine, fabric="scale_out", bandwidth_bytes_per_s=draw(st.sampled_from([50e9, 100e9])))
    for number in range(draw(st.integers(2, 4))):
        add_random_host(draw, graph, f"host{number}", leaves)
    graph.nodes["host0/gpu0"]["healthy"] = True
    return topologies.validate(graph)


def add_random_host(draw, graph, host, leaves):
    graph.add_node(host, kind="host")
    names = [f"{host}/gpu{i}" for i in range(draw(st.integers(1, 4)))]
    style = draw(st.sampled_from(["device nics", "host nics", "first device only"]))
    for name in names:
        graph.add_node(name, kind="device", device="h100", host=host, healthy=draw(st.integers(0, 9)) > 0)
        graph.add_edge(name, host, fabric="pcie", bandwidth_bytes_per_s=64e9)
        if style == "device nics":
            for leaf in draw(st.lists(st.sampled_from(leaves), min_size=1, max_size=2, unique=True)):
                graph.add_edge(name, leaf, fabric="scale_out", bandwidth_bytes_per_s=50e9)
    if style == "first device only":
        graph.nodes[names[0]]["healthy"] = True
        graph.add_edge(names[0], leaves[0], fabric="scale_out", bandwidth_bytes_per_s=50e9)
    if style == "host nics":
        for leaf in draw(st.lists(st.sampled_from(leaves), min_size=1, max_size=2, unique=True)):
            graph.add_edge(host, leaf, fabric="scale_out", bandwidth_bytes_per_s=100e9)
    if style == "device nics" and not any(graph.nodes[name]["healthy"] for name in names):
        graph.nodes[names[0]]["healthy"] = True
    joined = draw(st.integers(0, len(names)))
    if joined > 1:
        graph.add_node(f"{host}/nvswitch", kind="switch")
        for name in names[:joined]:
            graph.add_edge(name, f"{host}/nvswitch", fabric="scale_up", bandwidth_bytes_per_s=450e9)
    if draw(st.booleans()):
        graph.add_node(f"{host}/flash", kind="storage", capacity_bytes=1e12)
        graph.add_edge(host, f"{host}/flash", fabric="storage", bandwidth_bytes_per_s=10e9)


@QUICK
@given(clusters(), st.data())
def test_loads_are_those_of_an_independent_router(graph, data):
    ends = [v for v, d in graph.nodes(data=True) if d["kind"] in ("host", "storage")] + devices_in(graph)
    pairs = st.tuples(st.sampled_from(ends), st.sampled_from(ends)).filter(lambda pair: pair[0] != pair[1])
    flows = data.draw(st.dictionaries(pairs, st.sampled_from([1e9, 2e9, 7e9]), max_size=12))
    assert topologies.Routes(graph).loads(flows) == pytest.approx(naive_loads(graph, flows))


@QUICK
@given(clusters(), st.data())
def test_all_to_all_is_the_sum_of_its_pairs(graph, data):
    names = data.draw(st.lists(st.sampled_from(devices_in(graph)), min_size=1, unique=True))
    if len(names) < 2:
        return
    routes, each = topologies.Routes(graph), 3e9
    flows = {(a, b): each / (len(names) - 1) for a in names for b in names if a != b}
    loads = routes.all_to_all_loads(names, each)
    assert loads == pytest.approx(routes.loads(flows))
    assert routes.all_to_all_bandwidth(names) == pytest.approx(each / max(routes.utilisation(loads).values()))


@QUICK
@given(clusters(), st.data())
def test_what_enters_a_switch_leaves_it(graph, data):
    names = devices_in(graph)
    pairs = st.tuples(st.sampled_from(names), st.sampled_from(names))
    loads = topologies.Routes(graph).loads(data.draw(st.dictionaries(pairs, st.just(1e9), max_size=10)))
    for switch in (v for v, kind in graph.nodes(data="kind") if kind == "switch"):
        into = sum(load for (_, b), load in loads.items() if b == switch)
        out = sum(load for (a, _), load in loads.items() if a == switch)
        assert into == pytest.approx(out)


@QUICK
@given(clusters(), st.data(), st.randoms(use_true_random=False))
def test_renaming_renames_the_loads(graph, data, rng):
    names = devices_in(graph)
    numbers = rng.sample(range(len(graph)), len(graph))
    to = {vertex: f"v{number}" for vertex, number in zip(graph, numbers, strict=True)}
    renamed = nx.relabel_nodes(graph, to)
    for _, attributes in renamed.nodes(data=True):
        if attributes["kind"] == "device":
            attributes["host"] = to[attributes["host"]]
    pairs = st.tuples(st.sampled_from(names), st.sampled_from(names))
    flows = data.draw(st.dictionaries(pairs, st.floats(1e6, 1e9), max_size=10))
    expected = {(to[a], to[b]): load for (a, b), load in topologies.Routes(graph).loads(flows).items()}
    moved = topologies.Routes(renamed).loads({(to[a], to[b]): rate for (a, b), rate in flows.items()})
    assert moved == pytest.approx(expected)


@QUICK
@given(clusters(), st.data())
def test_a_faster_link_raises_no_utilisation(graph, data):
    names = devices_in(graph)
    flows = {(a, b): 1e9 for a in names for b in names if a != b}
    before = topologies.Routes(graph)
    faster = graph.copy()
    a, b = data.draw(st.sampled_from(sorted(map(sorted, graph.edges))))
    faster.edges[a, b]["bandwidth_bytes_per_s"] *= 2
    after = topologies.Routes(faster)
    old, new = (routes.utilisation(routes.loads(flows)) for routes in (before, after))
    assert old.keys() == new.keys()
    assert all(new[link] <= old[link] * (1 + 1e-12) for link in old)


@QUICK
@given(clusters(), st.data())
def test_a_path_is_as_short_as_any_and_uses_its_links_only(graph, data):
    names = devices_in(graph)
    source, sink = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
    routes = topologies.Routes(graph)
    path = routes.path(source, sink)
    if source == sink:
        assert path == [source]
        return
    loads = naive_loads(graph, {(source, sink): 1.0})
    assert (path[0], path[-1]) == (source, sink)
    assert all(link in loads for link in itertools.pairwise(path))
    assert sum(loads.values()) == pytest.approx(routes.hops(source, sink))
    assert routes.latency(source, sink) == pytest.approx(
        sum(graph.edges[link]["latency_s"] for link in itertools.pairwise(path))
    )


def inside_routes(graph, general):
    component = max(scale_up_components(graph), key=lambda part: len(part.devices))
    links = Links(graph)
    return links, (
        GraphRoutes(graph, component, links.arc) if general else scale_up_routes(graph, component, links.arc)
    )


@pytest.mark.parametrize(
    "graph",
    [
        topologies.hgx(1),
        topologies.nvl72(1),
        topologies.torus((4, 4)),
        topologies.torus((4, 6)),
        topologies.torus((2, 3, 4), "tpu-v5p"),
        topologies.torus((2, 2, 1), "tpu-v4"),
        topologies.torus((5,), "tpu-v5e"),
    ],
    ids=["star of 8", "star of 72", "4x4", "4x6", "2x3x4", "2x2x1", "ring of 5"],
)
def test_closed_forms_of_a_whole_domain_equal_general_routing(graph):
    names = devices_in(graph)
    found = []
    for general in (False, True):
        links, routes = inside_routes(graph, general)
        loads = links.nothing()
        routes.add_uniform(loads, names, names, 1e9)
        found.append(loads)
    assert found[0] == pytest.approx(found[1])


def test_a_star_of_several_switches_spreads_evenly():
    graph = topologies.hgx(1)
    for name in devices_in(graph):
        graph.add_edge(name, "rack0/host0/nvswitch2", fabric="scale_up", bandwidth_bytes_per_s=450e9, latency_s=0.0)
    graph.add_node("rack0/host0/nvswitch2", kind="switch")
    names = devices_in(graph)[:5]
    assert isinstance(inside_routes(graph, general=False)[1], StarRoutes)
    assert topologies.Routes(graph).all_to_all_bandwidth(names) == pytest.approx(900e9)


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("shape", [(4, 4), (2, 5), (3, 4, 2)])
def test_torus_subsets_equal_the_sum_of_their_pairs(shape, wrap):
    graph = topologies.torus(shape, "tpu-v5p", wrap=wrap)
    names = devices_in(graph)[::2] + devices_in(graph)[1:4:2]
    links, routes = inside_routes(graph, general=False)
    uniform, pairs = links.nothing(), links.nothing()
    routes.add_uniform(uniform, names, names, 1e9)
    routes.add(pairs, {(a, b): 1e9 for a in names for b in names if a != b})
    assert uniform == pytest.approx(pairs)


@pytest.mark.parametrize("wrap", [True, False])
def test_torus_paths_take_the_short_way_round(wrap):
    graph = topologies.torus((5, 4), "tpu-v5e", wrap=wrap)
    routes, at = topologies.Routes(graph), nx.get_node_attributes(graph, "coordinates")
    inside = nx.Graph([(a, b) for a, b, fabric in graph.edges(data="fabric") if fabric == "scale_up"])
    shortest = dict(nx.all_pairs_shortest_path_length(inside))
    assert all(routes.hops(a, b) == shortest[a][b] for a in at for b in at)


def test_a_torus_with_a_hole_still_routes():
    graph = topologies.mark_unhealthy(topologies.torus((4, 4)), ["rack0/host0/gpu0"])
    names = devices_in(graph)
    routes = topologies.Routes(graph)
    loads = routes.all_to_all_loads(names, 1e9)
    assert not any("rack0/host0/gpu0" in link for link in loads)
    assert loads == pytest.approx(naive_loads(graph, {(a, b): 1e9 / 14 for a in names for b in names if a != b}))


def test_a_mesh_pair_gets_one_link_and_all_to_all_gets_all():
    graph = topologies.hgx(1, "mi300x")
    names, routes = devices_in(graph), topologies.Routes(graph)
    assert routes.all_to_all_bandwidth(names) == pytest.approx(448e9)
    assert routes.all_to_all_bandwidth(names[:2]) == pytest.approx(64e9)


def test_an_oversubscribed_spine_is_felt_across_rails_only():
    routes = topologies.Routes(topologies.hgx(8, spine_oversubscription=4.0))
    rail = [f"rack{node // 4}/host{node % 4}/gpu0" for node in range(8)]
    mixed = [f"rack{node // 4}/host{node % 4}/gpu{node}" for node in range(8)]
    every = [f"rack{node // 4}/host{node % 4}/gpu{rank}" for node in range(8) for rank in range(8)]
    assert routes.all_to_all_bandwidth(rail) == pytest.approx(50e9)
    assert routes.all_to_all_bandwidth(mixed) == pytest.approx(50e9)
    # Of 63 peers 7 are inside and 7 on the rail; 49 are reached by a quarter of 50 GB/s.
    assert routes.all_to_all_bandwidth(every) == pytest.approx(12.5e9 * 63 / 49)
    # Each leaf has 100 GB/s up for the 4 devices of one half, which send 7/8 to other rails.
    assert routes.bisection_bandwidth(every) == pytest.approx(32 * 100e9 / 4 * 8 / 7)


def test_two_nodes_lose_what_the_scaling_book_says():
    """All-to-all over two hosts against one: S(M-1)/(M^2 W_node) against S(n-1)/(n^2 W): 2.57 times at equal S."""
    graph = topologies.hgx(2, "h100")
    routes = topologies.Routes(graph)
    sizes = {8: [f"rack0/host0/gpu{i}" for i in range(8)], 16: devices_in(graph)}
    times = {n: (1 / n) * (n - 1) / n / routes.all_to_all_bandwidth(names) for n, names in sizes.items()}
    assert times[16] / times[8] == pytest.approx((1 / 4 / 400e9) / (7 / 64 / 450e9))


def test_traffic_beside_the_devices():
    routes = topologies.Routes(topologies.hgx(2))
    offload = routes.loads({("rack0/host0/gpu0", "rack0/host0"): 1e9, ("rack0/host0/gpu0", "rack0/host0/flash"): 2e9})
    assert offload == {
        ("rack0/host0/gpu0", "rack0/host0"): 3e9,
        ("rack0/host0", "rack0/host0/flash"): 2e9,
    }
    fetched = routes.loads({("rack0/host0", "rack0/host1/gpu3"): 8e9})
    assert fetched[("rack0/host0", "rack0/host0/gpu3")] == pytest.approx(8e9), "the NIC on the same leaf is nearest"
    assert fetched[("leaf3", "rack0/host1/gpu3")] == pytest.approx(8e9)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda r: r.loads({("rack0/host0/gpu0", "rack0/host0/gpu9"): 1.0}), "no vertex is named 'rack0/host0/gpu9'"),
        (lambda r: r.loads({("rack0/host0/gpu0", "leaf0"): 1.0}), "'leaf0' is a switch"),
        (lambda r: r.loads({("rack0/host0/gpu0", "rack0/host1"): -1.0}), "at least 0"),
        (lambda r: r.loads({("rack0/host0/gpu0", "rack0/host1"): float("nan")}), "at least 0"),
        (lambda r: r.loads({("rack0/host1/gpu7", "rack0/host0"): 1.0}), "marked unhealthy"),
        (lambda r: r.all_to_all_bandwidth(["rack0/host0/gpu0"]), "needs at least 2"),
        (lambda r: r.all_to_all_bandwidth(["rack0/host0/gpu0"] * 2), "given twice"),
        (lambda r: r.all_to_all_bandwidth(["rack0/host0", "rack0/host0/gpu0"]), "is a host, not a device"),
        (lambda r: r.all_reduce_time([], 1.0), "0 device"),
        (lambda r: r.all_reduce_time(["rack0/host0/gpu0"], float("inf")), "finite"),
    ],
)
def test_errors_name_the_vertex(ask, says):
    routes = topologies.Routes(topologies.mark_unhealthy(topologies.hgx(2), ["rack0/host1/gpu7"]))
    with pytest.raises(topologies.BadInput) as caught:
        ask(routes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", [False, True])
def test_devices_of_a_host_in_one_domain_or_in_several_load_what_a_naive_router_says(split):
    graph = topologies.hgx(nodes=3, device="h100")
    if split:  # a GPU of every host lost its NVLink: it shares a host with the others, but no domain
        links = [(a, b) for a, b, fabric in graph.edges(data="fabric") if fabric == "scale_up" and "gpu3" in a + b]
        graph.remove_edges_from(links)
    devices = devices_in(graph)[2:20]
    routes = topologies.Routes(graph)
    traffic = routes.traffic()
    traffic.uniform(devices, devices, 17.0)
    flows = dict.fromkeys(itertools.permutations(devices, 2), 1.0)
    wanted = naive_loads(graph, flows)
    found = routes.links.named(traffic.loads())
    assert found == pytest.approx({link: rate for link, rate in wanted.items() if rate})
