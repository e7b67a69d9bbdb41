"""The clusters that builders make, and what they refuse."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import pytest

import topologies
from topologies import BadInput, UnknownName, build


def kinds(graph):
    return Counter(kind for _, kind in graph.nodes(data="kind"))


def bandwidth(graph, *vertex, fabric):
    return sum(d["bandwidth_bytes_per_s"] for _, _, d in graph.edges(*vertex, data=True) if d["fabric"] == fabric)


def test_hgx_is_rail_optimised():
    graph = topologies.hgx(40, "h100", spine_oversubscription=2.0, hosts_per_unit=32)
    assert kinds(graph) == {"device": 320, "host": 40, "storage": 40, "switch": 40 + 16 + 8}
    assert graph.has_edge("rack0/host0/gpu5", "leaf5")
    assert graph.has_edge("rack8/host0/gpu5", "leaf13"), "host 32 begins the second unit"
    down = 32 * 50e9
    assert bandwidth(graph, ["leaf5"], fabric="scale_out") == pytest.approx(down + down / 2)
    assert graph.nodes["rack0/host0"]["dram_bytes"] == 8 * 256e9


def test_nvl72_is_one_domain_per_rack():
    graph = topologies.nvl72(2)
    assert kinds(graph) == {"device": 144, "host": 36, "storage": 36, "switch": 2 + 4 + 2}
    assert graph.degree["rack1/nvswitch"] == 72
    assert graph.edges["rack0/host0/gpu0", "rack0/host0"]["fabric"] == "c2c"
    assert bandwidth(graph, ["rack0/host0/gpu0"], fabric="scale_up") == 900e9
    assert [len(domain.devices) for domain in topologies.scale_up_domains(graph)] == [72, 72]


def test_a_torus_joins_neighbours_without_switches():
    graph = topologies.torus((4, 4, 4), "tpu-v4")
    assert "switch" not in kinds(graph)
    assert all(len([1 for d in graph[v].values() if d["fabric"] == "scale_up"]) == 6 for v in graph if "gpu" in v)
    assert bandwidth(graph, ["rack0/host0/gpu0"], fabric="scale_up") == 270e9
    flat = topologies.torus((2, 4), "tpu-v5e")
    assert bandwidth(flat, ["rack0/host0/gpu0"], fabric="scale_up") == 180e9, "a side of two has both links on one pair"
    line = topologies.torus((4,), "tpu-v5e", wrap=False, devices_per_host=1)
    assert sorted(dict(nx.subgraph_view(line, filter_node=lambda v: "gpu" in v).degree).values()) == [1, 1, 2, 2]


def test_hosts_of_a_torus_hold_neighbours():
    graph = topologies.torus((4, 8), "tpu-v5e")
    places = [graph.nodes[f"rack0/host0/gpu{i}"]["coordinates"] for i in range(8)]
    assert places == [(x, y) for x in range(2) for y in range(4)]
    odd = topologies.torus((3, 5), "tpu-v5e")
    assert sorted(Counter(d["host"] for _, d in odd.nodes(data=True) if d["kind"] == "device").values()) == [7, 8]


def test_fat_tree_puts_nics_on_hosts():
    graph = topologies.fat_tree(8, "l40s", devices_per_host=4, hosts_per_leaf=4, oversubscription=4.0)
    assert graph.edges["rack1/host1", "leaf1"]["bandwidth_bytes_per_s"] == 4 * 25e9
    assert bandwidth(graph, ["leaf0"], fabric="scale_out") == pytest.approx(4 * 100e9 * 1.25)
    assert topologies.Routes(graph).path("rack0/host0/gpu0", "rack1/host0/gpu1") == [
        "rack0/host0/gpu0", "rack0/host0", "leaf0", "spine0", "leaf1", "rack1/host0", "rack1/host0/gpu1"
    ]  # fmt: skip


def test_join_shares_the_spine_and_keeps_uplinks():
    parts = topologies.hgx(4, "h100", spine_oversubscription=2.0), topologies.hgx(2, "h200"), topologies.fat_tree(2)
    fleet = topologies.validate(topologies.join(*parts))
    assert [len(part) for part in parts] == [
        len(topologies.hgx(4)),
        len(topologies.hgx(2)),
        len(topologies.fat_tree(2)),
    ]
    assert {d["device"] for _, d in fleet.nodes(data=True) if d["kind"] == "device"} == {"h100", "h200", "l40s"}
    assert fleet.nodes["rack1/host1/gpu0"]["host"] == "rack1/host1"
    spines = [v for v in fleet if v.startswith("spine")]
    assert len(spines) == 4
    for leaf, up in (("leaf0", 100e9), ("leaf8", 100e9), ("leaf16", 2 * 200e9)):
        assert sum(fleet.edges[leaf, s]["bandwidth_bytes_per_s"] for s in spines) == pytest.approx(up)
    assert topologies.Routes(fleet).hops("rack0/host0/gpu0", "rack1/host0/gpu0") == 4


@pytest.mark.parametrize(
    ("graphs", "says"),
    [
        ([], "at least one"),
        ([topologies.hgx(1), topologies.torus((2, 4))], "cluster 1 of join has no scale-out fabric"),
        ([topologies.hgx(1), topologies.hgx(1, {"name": "h200", "like": "h200", "hbm_bytes": 9e9})], "device 'h200'"),
        ([nx.relabel_nodes(topologies.hgx(1), {"leaf0": "top"})] * 2, "vertex 'top'"),
    ],
)
def test_join_refuses(graphs, says):
    with pytest.raises(BadInput, match=says):
        topologies.join(*graphs)


def test_devices_hosts_and_racks_go_out_of_service():
    graph = topologies.hgx(8)
    marked = topologies.mark_unhealthy(graph, ["rack0/host0/gpu1", "rack0/host1", "rack1"])
    broken = {v for v, d in marked.nodes(data=True) if d["kind"] == "device" and not d["healthy"]}
    assert len(broken) == 1 + 8 + 32
    assert all(d.get("healthy", True) for _, d in graph.nodes(data=True))
    for wrong in ("rack0/host9", "leaf0", "rack"):
        with pytest.raises(BadInput, match="nearest vertices: "):
            topologies.mark_unhealthy(graph, [wrong])
    with pytest.raises(BadInput, match="a list"):
        topologies.mark_unhealthy(graph, "rack0")


def test_plain_data_builds(tmp_path):
    direct = topologies.nvl72(2, "gb300", spine_oversubscription=2.0)
    spec = {"builder": "nvl72", "racks": 2, "device": "gb300", "spine_oversubscription": 2.0}
    assert nx.utils.graphs_equal(build(spec), direct)
    topologies.save(direct, tmp_path / "c.json")
    joined = build(
        {"join": [{"file": "c.json"}, {"builder": "hgx", "nodes": 1}], "unhealthy": ["rack2/host0/gpu0"]}, tmp_path
    )
    assert kinds(joined)["device"] == 152
    own = build({"builder": "hgx", "nodes": 1, "device": {"name": "x", "like": "h200"}, "dram_bytes_per_host": "4TB"})
    assert own.nodes["rack0/host0"]["dram_bytes"] == 4e12
    assert topologies.devices_of(own)["x"].hbm_bytes == 141e9


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("hgx", BadInput, "mapping"),
        ({}, BadInput, "exactly one of builder, file, join"),
        ({"builder": "hgx", "file": "x"}, BadInput, "exactly one"),
        ({"builder": "hgz", "nodes": 1}, UnknownName, "unknown builder 'hgz'; nearest: hgx"),
        ({"builder": ["hgx"]}, UnknownName, "unknown builder"),
        ({"builder": "hgx", "node": 1}, UnknownName, "unknown argument of builder hgx 'node'; nearest: nodes"),
        ({"builder": "hgx"}, BadInput, "builder hgx needs nodes"),
        ({"builder": "hgx", "nodes": 0}, BadInput, "nodes is 0; it must be a whole number from 1"),
        ({"builder": "hgx", "nodes": 1.5}, BadInput, "nodes is 1.5"),
        ({"builder": "hgx", "nodes": True}, BadInput, "nodes is True"),
        ({"builder": "hgx", "nodes": 26_000}, BadInput, "208,000 devices; 200,000 is the most"),
        ({"builder": "hgx", "nodes": 1, "device": "h300"}, UnknownName, "unknown device 'h300'"),
        ({"builder": "hgx", "nodes": 1, "device": "tpu-v5e"}, BadInput, "torus"),
        ({"builder": "hgx", "nodes": 1, "spine_oversubscription": 0}, BadInput, "spine_oversubscription is 0"),
        ({"builder": "hgx", "nodes": 1, "spine_oversubscription": float("nan")}, BadInput, "is nan"),
        ({"builder": "hgx", "nodes": 1, "spines": 0}, BadInput, "spines is 0"),
        ({"builder": "hgx", "nodes": 1, "dram_bytes_per_host": "-1GB"}, BadInput, "at least 0"),
        ({"builder": "nvl72", "racks": 1, "device": "h200"}, BadInput, "gb200, gb300, vr200"),
        ({"builder": "torus", "shape": 16}, BadInput, r"\[16, 16\]"),
        ({"builder": "torus", "shape": [4, 4, 4]}, BadInput, "links for 2 dimensions"),
        ({"builder": "torus", "shape": [4, 4], "device": "h100"}, BadInput, "not made for a torus"),
        ({"builder": "torus", "shape": [4, 0]}, BadInput, "a side of shape is 0"),
        ({"file": 3}, BadInput, "must be a path"),
        ({"file": "none.json"}, BadInput, "cannot read"),
        ({"file": "none.json", "nodes": 3}, BadInput, "takes no nodes"),
        ({"join": {}}, BadInput, "must be a list"),
    ],
)
def test_a_bad_description_is_refused_in_one_line(spec, error, says):
    with pytest.raises(error, match=says) as caught:
        build(spec)
    assert "\n" not in str(caught.value)
